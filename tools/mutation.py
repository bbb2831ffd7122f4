"""Small defects, made on purpose: every place of a module where one fits, and the module with it.

What is for people is left alone: docstrings, annotations, f-strings, and the words by which a refusal explains itself. So are
declarations (fields of classes) and decorators. What mutates:

    comparisons        == !=   < <=   > >=   is, is not   in, not in
    logic              and, or; one operand left out; `not` left out; a condition negated; each arm of a ternary alone
    arithmetic         + -   * //   << >>   & |   ^ &   % //
    constants          n + 1 (in a slice also n - 1); True, False; text and bytes one character longer
    slices             one end left out; an end that is no constant one further
    calls              an argument None; a keyword left out; any, all; min, max; and pairs such as startswith, endswith
    statements         raise, a call, continue, break left out; return None; += as =; a `with` without its manager; a loop over nothing
    choices            one element of a tuple, list, set or dict left out; one `case`; one exception type of several; one `if` of a comprehension
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import singledispatch

# Calls with words for people: from which positional argument on.
WORDS = {
    "EvidenceRefused": 1,
    "refusing": 1,
    "Period": 0,
    "Proof": 0,
    "certificate_period": 1,
    "check_crl": 3,
    "check_issued": 3,
    "check_not_revoked": 3,
    "crl_period": 2,
    "load_chain": 2,
    "load_crl": 2,
}
_TYPING = {"NewType", "ParamSpec", "TypeVar", "cast"}  # for the type checker only

_OPPOSITES = ((ast.Eq, ast.NotEq), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Is, ast.IsNot), (ast.In, ast.NotIn))
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_PAIRS = ("any all", "min max", "startswith endswith", "removeprefix removesuffix", "lstrip rstrip", "lower upper", "find rfind", "split rsplit")
_SWAPS = {one: other for pair in _PAIRS for one, other in (pair.split(), pair.split()[::-1])}

_NEVER_OF_NONE = {"len", "isinstance"}  # would fail at once wherever they stand: a test that runs the line is no merit


@dataclass(frozen=True)
class Mutant:
    """One change. `function` is the qualified name of the outermost function that it is in, or empty for a constant of the module."""

    file: str  # below src/ollm
    function: str
    before: str
    after: str
    lines: tuple[int, int]  # of the statement, or of what stands before a block's colon
    apply: Callable[[], None]
    undo: Callable[[], None]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it for as long as the code stays the same, wherever it stands in its file."""
        return self.file, self.function, self.before, self.after


@dataclass(frozen=True)
class _Place:
    """Where a node stands: in which field of its parent."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None

    def put(self, node: ast.AST | None) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Functions and methods of `tree` by qualified name; those inside functions are part of them."""
    return {name: function for statement in tree.body for name, function in _functions(statement, "")}


def mutants(tree: ast.Module, file: str) -> Iterator[Mutant]:
    """Every mutant of `tree`, which `apply` changes in place and `undo` restores."""
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None and not _is_dunder(statement):
            yield from _inside(_Place(statement.value, statement, "value", None), file, "", statement)
        for name, function in _functions(statement, ""):
            whole = function.lineno, function.end_lineno or function.lineno  # a default was evaluated long before any test
            for place in _children(function.args, "defaults", "kw_defaults"):
                yield from (replace(mutant, lines=whole) for mutant in _inside(place, file, name, function))
            yield from _body(function.body, function, "body", file, name)


def _is_dunder(statement: ast.Assign | ast.AnnAssign) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(target, ast.Name) and target.id.startswith("__") for target in targets)


def _functions(statement: ast.stmt, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    if isinstance(statement, ast.FunctionDef):
        yield prefix + statement.name, statement
    elif isinstance(statement, ast.ClassDef):
        for member in statement.body:
            yield from _functions(member, f"{prefix}{statement.name}.")


def _body(statements: list[ast.stmt], parent: ast.AST, field: str, file: str, function: str) -> Iterator[Mutant]:
    for index, statement in enumerate(statements):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        yield from _inside(_Place(statement, parent, field, index), file, function, statement)


def _inside(place: _Place, file: str, function: str, statement: ast.stmt) -> Iterator[Mutant]:
    """Mutants of the node at `place` and of all below it."""
    node = place.node
    if isinstance(node, (ast.JoinedStr, ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop)):
        return
    for replacement in _alternatives(node, place.parent):
        yield _mutant(place, replacement, file, function, statement)
    for child in _descend(node):
        if isinstance(child.node, ast.stmt):
            if not (isinstance(child.node, ast.Expr) and isinstance(child.node.value, ast.Constant)):
                yield from _inside(child, file, function, child.node)
        else:
            yield from _inside(child, file, function, statement)


def _mutant(place: _Place, replacement: ast.AST, file: str, function: str, statement: ast.stmt) -> Mutant:
    ast.copy_location(replacement, place.node)
    ast.fix_missing_locations(replacement)
    left_out = getattr(replacement, "left_out", None)  # of a collection, what it lost is told and not the whole twice
    before, after = (_text(place.node), _text(replacement)) if left_out is None else (left_out, "left out")
    lines = (statement.lineno, _header_end(statement))
    return Mutant(file, function, before, after, lines, lambda: place.put(replacement), lambda: place.put(place.node))


def _header_end(statement: ast.stmt) -> int:
    """The last line of a statement, or of what stands before a block."""
    if isinstance(statement, ast.Match):
        return statement.lineno
    body = getattr(statement, "body", None)
    return max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno or statement.lineno


def _text(node: ast.AST) -> str:
    """`node` on one line; a block by its header."""
    if isinstance(node, ast.Pass):
        return "pass"
    if isinstance(node, ast.ExceptHandler):
        return f"except {ast.unparse(node.type) if node.type else ''}".strip()
    if isinstance(node, ast.Raise):
        call = node.exc
        words = call.args[0] if isinstance(call, ast.Call) and call.args else None  # the others are for people and change often
        return "raise" if words is None else f"raise {ast.unparse(call.func)}({ast.unparse(words)}, ...)"  # type: ignore[union-attr]  # a call
    return " ".join(ast.unparse(node).split("\n", 1)[0].split())


def _children(node: ast.AST, *fields: str) -> Iterator[_Place]:
    for field in fields:
        value = getattr(node, field)
        if isinstance(value, list):
            yield from (_Place(child, node, field, index) for index, child in enumerate(value) if isinstance(child, ast.AST))
        elif isinstance(value, ast.AST):
            yield _Place(value, node, field, None)


def _descend(node: ast.AST) -> Iterator[_Place]:
    """Children that hold code; neither annotations nor words for people."""
    if isinstance(node, ast.Call):
        name = _called(node)
        if name in _TYPING:
            return
        words = WORDS.get(name, len(node.args))
        yield from (place for place in _children(node, "func", "args", "keywords") if place.field != "args" or (place.index or 0) < words)
    elif isinstance(node, ast.FunctionDef):
        yield from _children(node, "body")
    elif isinstance(node, ast.AnnAssign):
        yield from _children(node, "value")
    elif isinstance(node, ast.Lambda):
        yield from _children(node, "body")
    elif not isinstance(node, ast.ClassDef):
        yield from _children(node, *node._fields)


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""


# What a node can be replaced by


def _alternatives(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant):
        yield from _constant(node, in_slice=isinstance(parent, ast.Slice))
    elif not (isinstance(node, (ast.Tuple, ast.List)) and (not isinstance(node.ctx, ast.Load) or _unpacked(parent))):
        yield from _replacements(node)


def _unpacked(parent: ast.AST) -> bool:
    """Whether what stands in `parent` is the right side of `a, b = c, d`, which can't lose an element, or a choice of types."""
    to_many = isinstance(parent, ast.Assign) and any(isinstance(target, ast.Tuple) for target in parent.targets)
    return to_many or isinstance(parent, (ast.Subscript, ast.ExceptHandler))


@singledispatch
def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    yield from ()


def _constant(node: ast.Constant, *, in_slice: bool) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        if in_slice:
            yield ast.Constant(value - 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "X")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"X")


@_replacements.register
def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for index, operator in enumerate(node.ops):
        ops = [*node.ops[:index], _COMPARISONS[type(operator)](), *node.ops[index + 1 :]]
        yield ast.Compare(node.left, ops, node.comparators)


@_replacements.register
def _logic(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]


@_replacements.register
def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


@_replacements.register
def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in _ARITHMETIC:
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)


@_replacements.register
def _ternary(node: ast.IfExp) -> Iterator[ast.AST]:
    yield node.body
    yield node.orelse


@_replacements.register
def _call(node: ast.Call) -> Iterator[ast.AST]:
    name = _called(node)
    if name in _TYPING:
        return
    for index, argument in enumerate(node.args[: WORDS.get(name, len(node.args))]):
        if name not in _NEVER_OF_NONE and not isinstance(argument, (ast.Constant, ast.Starred, ast.GeneratorExp)):
            yield ast.Call(node.func, [*node.args[:index], ast.Constant(None), *node.args[index + 1 :]], node.keywords)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            yield ast.Call(node.func, node.args, [*node.keywords[:index], *node.keywords[index + 1 :]])
    if name in _SWAPS:
        other = (
            ast.Attribute(node.func.value, _SWAPS[name], ast.Load()) if isinstance(node.func, ast.Attribute) else ast.Name(_SWAPS[name], ast.Load())
        )
        yield ast.Call(other, node.args, node.keywords)


@_replacements.register
def _slice(node: ast.Slice) -> Iterator[ast.AST]:
    for field in ("lower", "upper"):
        bound = getattr(node, field)
        if bound is None:
            continue
        further = [] if isinstance(bound, (ast.Constant, ast.UnaryOp)) else [ast.BinOp(bound, ast.Add(), ast.Constant(1))]
        for other in (None, *further):
            yield ast.Slice(other, node.upper, node.step) if field == "lower" else ast.Slice(node.lower, other, node.step)


@_replacements.register
def _return(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield ast.Return(ast.Constant(None))


@_replacements.register
def _augmented(node: ast.AugAssign) -> Iterator[ast.AST]:
    yield ast.Assign([node.target], node.value)


@_replacements.register
def _condition(node: ast.If | ast.While) -> Iterator[ast.AST]:
    if not isinstance(node.test, (ast.Compare, ast.UnaryOp)) or (isinstance(node.test, ast.Compare) and not _negatable(node.test)):
        yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)


def _negatable(test: ast.Compare) -> bool:
    """Whether swapping its one operator negates it already."""
    return len(test.ops) == 1 and isinstance(test.ops[0], (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn))


@_replacements.register
def _with(node: ast.With) -> Iterator[ast.AST]:
    if all(item.optional_vars is None for item in node.items):
        yield ast.If(ast.Constant(True), node.body, [])


@_replacements.register
def _loop(node: ast.For) -> Iterator[ast.AST]:
    yield ast.For(node.target, ast.Tuple([], ast.Load()), node.body, node.orelse)


@_replacements.register
def _cases(node: ast.Match) -> Iterator[ast.AST]:
    for index in range(len(node.cases) if len(node.cases) > 1 else 0):
        yield _without(f"case {ast.unparse(node.cases[index].pattern)}", ast.Match(node.subject, [*node.cases[:index], *node.cases[index + 1 :]]))


@_replacements.register
def _filters(node: ast.comprehension) -> Iterator[ast.AST]:
    for index in range(len(node.ifs)):
        yield ast.comprehension(node.target, node.iter, [*node.ifs[:index], *node.ifs[index + 1 :]], node.is_async)


@_replacements.register
def _caught(node: ast.ExceptHandler) -> Iterator[ast.AST]:
    if isinstance(node.type, ast.Tuple):
        for index in range(len(node.type.elts)):
            yield ast.ExceptHandler(ast.Tuple([*node.type.elts[:index], *node.type.elts[index + 1 :]], ast.Load()), node.name, node.body)


@_replacements.register
def _elements(node: ast.Tuple | ast.List | ast.Set) -> Iterator[ast.AST]:
    for index in range(len(node.elts) if len(node.elts) > 1 else 0):
        rest = [*node.elts[:index], *node.elts[index + 1 :]]
        yield _without(ast.unparse(node.elts[index]), ast.Set(rest) if isinstance(node, ast.Set) else type(node)(rest, ast.Load()))


@_replacements.register
def _members(node: ast.Dict) -> Iterator[ast.AST]:
    for index in range(len(node.keys)):
        key, value = node.keys[index], ast.unparse(node.values[index])
        rest = ast.Dict([*node.keys[:index], *node.keys[index + 1 :]], [*node.values[:index], *node.values[index + 1 :]])
        yield _without(f"**{value}" if key is None else f"{ast.unparse(key)}: {value}", rest)


def _without(left_out: str, rest: ast.AST) -> ast.AST:
    rest.left_out = left_out  # type: ignore[attr-defined]  # read by `_mutant`
    return rest


@_replacements.register
def _nothing(node: ast.Raise | ast.Continue | ast.Break | ast.Expr) -> Iterator[ast.AST]:
    yield ast.Pass()
