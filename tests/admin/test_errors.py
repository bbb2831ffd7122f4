"""The table of errors has what the source answers with, and nothing else."""

import ast
from pathlib import Path

import ollm.admin
from ollm.admin.errors import ERRORS

SOURCE = Path(ollm.admin.__file__).parent
FROM_SERVING = {"request_too_large": 413, "unsupported_content_encoding": 415, "incomplete_body": 400}  # serving.http.read_body


def answered() -> dict[str, int]:
    """Code → status of every ApiError that a module of the package makes."""
    found = {}
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError":
                status, code = node.args[0], node.args[2]
                assert isinstance(status, ast.Constant)
                assert isinstance(code, ast.Constant)
                found[str(code.value)] = int(str(status.value))
    return found


def test_codes_and_statuses() -> None:
    assert answered() | FROM_SERVING == {code: error.status for code, error in ERRORS.items()}
