"""Modules and functions stay readable in one sitting: caps on lines and on positional parameters."""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULE_LINES = 400
TEST_MODULE_LINES = 600  # transcripts are long and read one at a time
FUNCTION_LINES = 60
POSITIONAL_PARAMETERS = 6
FOLDERS = ("src", "tests", "tools", "bench", "fuzz")


def findings(source: str, module_lines: int = MODULE_LINES) -> Iterator[str]:
    """What is too large in `source`, as texts that begin with a line number."""
    lines = source.count("\n") + 1
    if lines > module_lines + 1:
        yield f"1: module has {lines - 1} lines, the cap is {module_lines}: it is probably two things"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield f"{node.lineno}: function {node.name} has {length} lines, the cap is {FUNCTION_LINES}"
        if any(".command(" in ast.unparse(decorator) for decorator in node.decorator_list):
            continue  # typer reads a command's options from its parameters; nobody calls it by position
        positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args) if argument.arg not in {"self", "cls"}]
        if len(positional) > POSITIONAL_PARAMETERS:
            yield f"{node.lineno}: function {node.name} has {len(positional)} positional parameters, the cap is {POSITIONAL_PARAMETERS}"


def main(root: Path = ROOT) -> int:
    """Print what is too large under `root`; the exit status."""
    bad = 0
    sizes = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if folder == "src":
                sizes.append(source.count("\n"))
            for finding in findings(source, TEST_MODULE_LINES if folder == "tests" else MODULE_LINES):
                print(f"{path.relative_to(root)}:{finding}")
                bad += 1
    if sizes:
        print(f"sizes: {len(sizes)} modules in src, median {statistics.median(sizes):.0f} lines, longest {max(sizes)}; {bad} over a cap")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
