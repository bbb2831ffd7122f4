"""Structs that are resolved can be decoded by several threads that are all the first; and every one that appraisal decodes into is."""

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ollm.values.structs import resolved

ROOT = Path(__file__).parents[2]
PURE = ("attest", "seal", "wire", "values", "receipts", "traffic")
FIRST_CONVERSIONS = """
import sys, threading
import msgspec
from ollm.values.structs import resolved

sys.setswitchinterval(1e-6)
ROUNDS, THREADS = 1000, 3
together = threading.Barrier(THREADS + 1)
kinds = []

def fresh():
    class Inner(msgspec.Struct):
        number: int = 0

    @resolved
    class Outer(msgspec.Struct):
        inner: dict[str, Inner] | None = None
        text: str | None = None

    return Outer

def convert():
    for _ in range(ROUNDS):
        together.wait()
        msgspec.convert({"inner": {"a": {"number": 1}}}, kinds[-1])
        together.wait()

threads = [threading.Thread(target=convert) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for _ in range(ROUNDS):
    kinds.append(fresh())
    together.wait()
    together.wait()
for thread in threads:
    thread.join()
print("alive")
"""


@pytest.mark.process
def test_first_conversions_at_once_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_CONVERSIONS], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_a_resolved_struct_is_the_same_struct() -> None:
    class Plain(msgspec.Struct):
        number: int

    assert resolved(Plain) is Plain
    assert msgspec.json.decode(b'{"number": 1}', type=Plain) == Plain(1)


def test_every_struct_that_a_pure_package_decodes_into_by_name_is_resolved() -> None:
    """Decoders made at import resolve by themselves; `decode(…, type=X)` and `convert(…, X)` do so at their first call."""
    sources = {path: ast.parse(path.read_text()) for package in PURE for path in (ROOT / "src" / "ollm" / package).rglob("*.py")}
    marked = {
        node.name
        for tree in sources.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(isinstance(mark, ast.Name) and mark.id == "resolved" for mark in node.decorator_list)
    }
    structs = {node.name for tree in sources.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    used = {name.id for tree in sources.values() for call in ast.walk(tree) for name in names_of_type(call) if name.id in structs}
    assert used
    assert used <= marked


def names_of_type(node: ast.AST) -> list[ast.Name]:
    """Names in the type argument of a decoding or converting call, none for any other node."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return []
    given = [keyword.value for keyword in node.keywords if keyword.arg == "type"] if node.func.attr == "decode" else []
    given += node.args[1:2] if node.func.attr == "convert" else []
    return [name for argument in given for name in ast.walk(argument) if isinstance(name, ast.Name)]
