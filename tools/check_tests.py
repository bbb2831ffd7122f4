"""Every module has its own test file at the mirrored place: `src/ollm/a/b.py` is tested by `tests/a/test_b.py`."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Modules whose tests stand elsewhere, because they only make sense together: module → test file.
TESTED_BY: dict[str, str] = {
    "sim/saying.py": "tests/sim/test_responder.py",  # the words of the responder
    "store/migrations/versions/0002_tables.py": "tests/store/test_migrate.py",  # migrations are tested by migrating
}


def has_code(source: str) -> bool:
    """Whether `source` does anything: more than documentation, imports, constants without calls, and Protocols."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return True
        if isinstance(node, ast.ClassDef) and any(
            isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _is_declaration(member) for member in node.body
        ):
            return True
    return False


def _is_declaration(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) for statement in function.body)


def findings(root: Path) -> Iterator[str]:
    """Modules without a test file, and entries of TESTED_BY that lead nowhere."""
    package = root / "src" / "ollm"
    for module in sorted(package.rglob("*.py")):
        name = module.relative_to(package).as_posix()
        if not has_code(module.read_text(encoding="utf-8")):
            continue
        stem = module.parent.name if module.stem == "__init__" else module.stem.strip("_")
        expected = TESTED_BY.get(name) or f"tests/{module.relative_to(package).parent.as_posix()}/test_{stem}.py".replace("/./", "/")
        if not (root / expected).is_file():
            yield f"src/ollm/{name}: no {expected}"
    for name in TESTED_BY:
        if not (package / name).is_file():
            yield f"tools/check_tests.py: TESTED_BY names {name}, which doesn't exist"


def main(root: Path = ROOT) -> int:
    """Print modules without tests; the exit status."""
    bad = list(findings(root))
    for finding in bad:
        print(finding)
    print(f"tests: {len(bad)} modules without a test file")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
