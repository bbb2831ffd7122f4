"""Each kind of small defect is made where it fits, and what is for people is left alone."""

import ast

import pytest

from tools.mutation import functions, mutants


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants(ast.parse(source), "some.py")]


def inside(body: str) -> list[tuple[str, str]]:
    return changes(f"def f(a, b, c):\n    {body}\n")


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ("a = b == c", ("b == c", "b != c")),
        ("a = b < c", ("b < c", "b <= c")),
        ("a = b >= c", ("b >= c", "b > c")),
        ("a = b is None", ("b is None", "b is not None")),
        ("a = b in c", ("b in c", "b not in c")),
        ("a = 0 <= b < c", ("0 <= b < c", "0 < b < c")),
        ("a = b and c", ("b and c", "b or c")),
        ("a = b and c", ("b and c", "c")),
        ("a = a or b or c", ("a or b or c", "a or c")),
        ("a = not b", ("not b", "b")),
        ("a = b if a else c", ("b if a else c", "c")),
        ("a = b + c", ("b + c", "b - c")),
        ("a = b << c", ("b << c", "b >> c")),
        ("a = b & c", ("b & c", "b | c")),
        ("a = 7", ("7", "8")),
        ("a = True", ("True", "False")),
        ("a = 'x'", ("'x'", "'xX'")),
        ("a = b'x'", ("b'x'", "b'xX'")),
        ("a = b[3:]", ("3", "2")),
        ("a = b[3:c]", ("3:c", "3:c + 1")),
        ("a = b[3:c]", ("3:c", ":c")),
        ("a(b, 1)", ("a(b, 1)", "a(None, 1)")),
        ("a(b, x=c)", ("a(b, x=c)", "a(b)")),
        ("a = any(b)", ("any(b)", "all(b)")),
        ("a = b.startswith(c)", ("b.startswith(c)", "b.endswith(c)")),
        ("return a", ("return a", "return None")),
        ("a += b", ("a += b", "a = b")),
        ("check(a)", ("check(a)", "pass")),
        ("raise ValueError('words', a)", ("raise ValueError('words', ...)", "pass")),
        ("a = b, c", ("b", "left out")),
        ("a = {b: c}", ("b: c", "left out")),
        ("a = [b for b in c if b]", ("for b in c if b", "for b in c")),
        ("if a: pass", ("if a:", "if not a:")),
        ("for a in b: pass", ("for a in b:", "for a in ():")),
        ("with a: pass", ("with a:", "if True:")),
    ],
)
def test_each_kind(body: str, change: tuple[str, str]) -> None:
    assert change in [(before.strip(), after.strip()) for before, after in inside(body)]


def test_cases_and_exceptions_are_left_out_one_at_a_time() -> None:
    match = "def f(a):\n    match a:\n        case 1:\n            return a\n        case _:\n            return b\n"
    assert ("case _", "left out") in changes(match)
    caught = "def f():\n    try:\n        a()\n    except (TypeError, ValueError):\n        pass\n"
    assert ("except (TypeError, ValueError)", "except (ValueError,)") in changes(caught)


@pytest.mark.parametrize(
    "source",
    [
        '"""Words."""',
        'def f():\n    """Words."""\n',
        "def f(a: Literal['x'] | None) -> Literal['y']:\n    pass\n",
        "class C:\n    field: int = 7\n",
        "T = TypeVar('T', bound=int)",
        "__all__ = ('a', 'b')",
        "@decorated(7)\ndef f():\n    pass\n",
        "def f(a):\n    a = f'{a + 7} words'\n",
    ],
)
def test_what_is_for_people_or_types_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_a_refusals_words_are_left_alone_but_not_its_check() -> None:
    assert inside("raise EvidenceRefused('some.check', 'got' + a, f'{b}')") == [
        ("raise EvidenceRefused('some.check', ...)", "pass"),
        ("'some.check'", "'some.checkX'"),
    ]


def test_constants_of_the_module_defaults_and_methods_are_reached() -> None:
    source = "A = 7\ndef f(a=1, *, b=True):\n    pass\nclass C:\n    def m(self):\n        return 3\n"
    found = {(mutant.function, mutant.before, mutant.lines) for mutant in mutants(ast.parse(source), "some.py")}
    assert found == {("", "7", (1, 1)), ("f", "1", (2, 3)), ("f", "True", (2, 3)), ("C.m", "return 3", (6, 6)), ("C.m", "3", (6, 6))}
    assert set(functions(ast.parse(source))) == {"f", "C.m"}


def test_a_block_is_its_header() -> None:
    source = "def f(a):\n    if (\n        a\n    ):\n        b()\n        c()\n"
    assert [mutant.lines for mutant in mutants(ast.parse(source), "") if mutant.before.startswith("if")] == [(2, 4)]


def test_a_mutant_is_made_in_place_and_undone() -> None:
    tree = ast.parse("def f(a):\n    return a and a.b == [1, 2][a:7]\n")
    before = ast.dump(tree)
    for mutant in mutants(tree, "some.py"):
        mutant.apply()
        assert ast.dump(tree) != before
        compile(tree, "some.py", "exec")
        mutant.undo()
        assert ast.dump(tree) == before
