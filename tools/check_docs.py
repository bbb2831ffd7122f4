"""Documentation says what the code does: links resolve, and configuration keys, commands, checks, error codes and breaks are all there.

Each parity goes both ways: what exists is documented, and what is documented exists.
"""

import ast
import enum
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer.main

from ollm.cli import app as cli_app
from ollm.config.policy_file import PolicyFile
from ollm.config.settings import Settings
from ollm.gateway.app import NAMED_ROUTES, ROUTES
from ollm.sim.breaks import BREAKS
from ollm.wire.error_code import ErrorCode
from ollm.wire.error_codes import ERROR_CODES
from ollm.wire.errors import STREAM_CODE
from tools import admin_page, checks_page, dialects_page, endpoints_page, errors_page
from tools.check_text import project_files

ROOT = Path(__file__).parent.parent

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]*?) \|", re.MULTILINE)


def read(name: str, root: Path = ROOT) -> str:
    """The text of a document."""
    return (root / name).read_text(encoding="utf-8")


# --- links ------------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Anchors of the headings in `text`, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in titles}


def broken_links(root: Path) -> Iterator[str]:
    """Links between documents that lead nowhere, and documents that no other document leads to."""
    documents = [name for name in project_files(root) if name.endswith(".md")]
    reached = {"README.md"}
    for name in documents:
        for target in _LINK.findall(_FENCE.sub("", read(name, root))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (root / name).parent / path if path else root / name
            if not file.exists():
                yield f"{name}: link to {target}, which doesn't exist"
            elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
                yield f"{name}: link to {target}, which has no such heading"
            else:
                reached.add(file.resolve().relative_to(root.resolve()).as_posix())
    for name in sorted(set(documents) - reached):
        yield f"{name}: no document links to it"


# --- the two ways of a parity -----------------------------------------------------------------------------------------


def differences(document: str, kind: str, documented: set[str], existing: set[str]) -> Iterator[str]:
    """What exists and isn't documented, and the reverse."""
    for name in sorted(existing - documented):
        yield f"{document}: {kind} {name} is not documented"
    for name in sorted(documented - existing):
        yield f"{document}: {kind} {name} doesn't exist"


# --- configuration ----------------------------------------------------------------------------------------------------

_GIVEN_BY_THE_LOADER = {"policies.NAME.name"}
_LIKE_ANOTHER = {  # tables whose keys stand in the documents already
    "policies.NAME.service.gateway_tdx",
    "models.NAME.price.above",
    "models.NAME.price.tiers",
}


def _spelled(value: object) -> str:
    """`value` as TOML writes it, in backquotes."""
    if value is None:
        return "absent"
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, (tuple, list)):
        return "`[" + ", ".join(_spelled(item).strip("`") for item in value) + "]`"
    return f"`{value}`"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _table_of(kind: Any) -> tuple[str, Any] | None:
    """How a key of type `kind` continues into another struct: (what stands between, the struct), or None for a plain value."""
    if _is_struct(kind):
        return "", kind
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is dict and _is_struct(arguments[1]):
        return ".NAME", arguments[1]
    if origin is tuple and _is_struct(arguments[0]):
        return "[]", arguments[0]
    if origin is types.UnionType:
        return next((table for each in arguments if (table := _table_of(each))), None)
    return None


def config_keys(struct: Any = Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key that the configuration knows, with its default as the documents spell it."""
    for field in msgspec.structs.fields(struct):
        key = f"{prefix}{field.encode_name}"
        table = _table_of(field.type)
        if table is not None and key not in _LIKE_ANOTHER:
            yield from config_keys(table[1], f"{key}{table[0]}.")
        elif key not in _GIVEN_BY_THE_LOADER:
            yield key, _default(field)


def _default(field: Any) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return _spelled(field.default_factory())
    return "required" if field.default is msgspec.NODEFAULT else _spelled(field.default)


def config_findings(text: str) -> Iterator[str]:
    """Keys and defaults that docs/reference/config.md gets wrong."""
    documented = dict(_ROW.findall(text))
    existing = dict(config_keys()) | dict(config_keys(PolicyFile, "policies.NAME."))  # a policy's rules, or the file that holds them
    yield from differences("docs/reference/config.md", "key", set(documented), set(existing))
    for key in sorted(set(documented) & set(existing)):
        if documented[key] != existing[key]:
            yield f"docs/reference/config.md: {key} has the default {existing[key]}, not {documented[key]}"


# --- commands ---------------------------------------------------------------------------------------------------------


def commands(command: Any, path: str) -> Iterator[tuple[str, set[str]]]:
    """Every command with its options, from a click command as typer makes it; groups are not commands."""
    children = getattr(command, "commands", None)
    if children is not None:
        for name, child in children.items():
            if not child.hidden:
                yield from commands(child, f"{path} {name}")
        return
    options = [parameter for parameter in command.params if parameter.param_type_name == "option" and not parameter.hidden]
    yield path, {max(option.opts, key=len) for option in options} - {"--help"}


def cli_findings(text: str) -> Iterator[str]:
    """Commands and options that docs/reference/cli.md gets wrong. A command's section is headed by its name in backquotes."""
    document = "docs/reference/cli.md"
    sections = re.split(r"^#+ `(ollm[^`]*)`.*$", text, flags=re.MULTILINE)
    documented = dict(zip(sections[1::2], sections[2::2], strict=True))
    existing = dict(commands(typer.main.get_command(cli_app), "ollm"))
    yield from differences(document, "command", set(documented), set(existing))
    for command in sorted(set(documented) & set(existing)):
        named = set(re.findall(r"^\| `(--[a-z0-9-]+)", documented[command], re.MULTILINE))
        yield from differences(document, f"option of {command}", named, existing[command])


# --- checks, breaks, error codes --------------------------------------------------------------------------------------


def named_checks(root: Path) -> set[str]:
    """Names of checks that the source raises, found as the first argument of EvidenceRefused."""
    names = {_text(call.args[0], {}) for call in _calls(root / "src", "EvidenceRefused") if call.args}
    return {name for name in names if name}


# Where the calls that make an error object hold its status (None: nowhere) and its code; behind it, what stands for a code that is None.
_ERROR_CALLS: dict[str, tuple[int | None, tuple[int, ...]]] = {
    "ApiError": (0, (2, 1)),
    "Untranslatable": (0, (2, 1)),
    "Refusal": (0, (1,)),
    "error_event": (None, (2,)),
    "Verdict": (0, (2,)),  # of limits and budgets, answered as it is
}


def error_codes(root: Path) -> dict[str, set[int]]:
    """Codes (else types) of every error object that the gateway can answer with, and their statuses, found in the calls that make one."""
    codes: dict[str, set[int]] = {STREAM_CODE: {200}}
    for folder in ("gateway", "serving", "upstream", "traffic"):
        package = root / "src" / "ollm" / folder
        constants = _constants(package)
        for function, (at, positions) in _ERROR_CALLS.items():
            for call in _calls(package, function):
                texts = [_text(call.args[position], constants) for position in positions if position < len(call.args)]
                for text in [text for text in texts if text][:1]:
                    codes.setdefault(text, set()).update(_numbers(call.args[at]) if at is not None else ())
    return codes


def _numbers(node: ast.expr) -> Iterator[int]:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield node.value


def error_findings(existing: dict[str, set[int]], documented: Mapping[str, ErrorCode] = ERROR_CODES) -> Iterator[str]:
    """Codes, and their statuses, that the table of error codes gets wrong."""
    document = "src/ollm/wire/error_codes.py"
    yield from differences(document, "code", set(documented), set(existing))
    for name in sorted(set(documented) & set(existing)):
        for status in sorted(existing[name] - {documented[name].status}):
            yield f"{document}: code {name} is answered with status {status}, not {documented[name].status}"


def _text(node: ast.expr, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _constants(folder: Path) -> dict[str, str]:
    """Names of the modules in `folder` that stand for one text."""
    found = {}
    for node in _nodes(folder):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update({target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)})
    return found


def _calls(folder: Path, name: str) -> Iterator[ast.Call]:
    for node in _nodes(folder):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _nodes(folder: Path) -> Iterator[ast.AST]:
    for path in sorted(folder.rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def endpoints() -> set[str]:
    """Method and path of every endpoint of the gateway, as headings write them."""
    plain = {f"{method} {path}" for path, methods in ROUTES.items() for method in methods}
    return plain | {f"{method} {path}" for path, methods in NAMED_ROUTES.items() for method in methods}


def table_findings(root: Path) -> Iterator[str]:
    """Names in the tables of checks, breaks, errors and endpoints that differ from the source's."""
    for document, made in (
        ("docs/reference/checks.md", checks_page.page()),
        ("docs/reference/dialects.md", dialects_page.page()),
        ("docs/reference/errors.md", errors_page.page()),
        ("docs/reference/endpoints.md", endpoints_page.page()),
        ("docs/reference/admin-api.md", admin_page.page()),
    ):
        if read(document, root) != made:
            yield f"{document} is not what the source makes of it: make docs"
    yield from error_findings(error_codes(root))
    yield from differences("docs/reference/checks.md", "check", set(checks_page.proofs()), set(checks_page.proofs()) | named_checks(root))
    breaks = {name for name, _ in _ROW.findall(read("docs/reference/breaks.md", root))}
    yield from differences("docs/reference/breaks.md", "break", breaks, set(BREAKS))
    headings = re.findall(r"^## `((?:GET|POST|DELETE) [^`{]+)", read("docs/reference/http-api.md", root), re.MULTILINE)
    yield from differences("docs/reference/http-api.md", "endpoint", set(headings), endpoints())


def main(root: Path = ROOT) -> int:
    """Print what the documentation gets wrong; the exit status."""
    bad = [
        *broken_links(root),
        *config_findings(read("docs/reference/config.md", root)),
        *cli_findings(read("docs/reference/cli.md", root)),
        *table_findings(root),
    ]
    for finding in bad:
        print(finding)
    print(f"documentation: {len(bad)} differences from the source")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
