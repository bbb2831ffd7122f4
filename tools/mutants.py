"""`make mutants`: are the tests of `attest/` any good? Small defects are put into it one at a time, and for each some test should fail.

    python -m tools.mutants                             what decides, and a sample of the rest
    python -m tools.mutants --only 'attest/tdx/*.py'    all mutants of some files

All mutants of what decides (`DECIDING`), and `SAMPLE` of the others, the same as long as the code is. For a mutant those tests are run
that execute its line, those of its own module first. Exit status 1 where fewer than `LEAST` are caught, where tests fail without any
mutant, or where `tools/mutants.toml`, which gives a reason for each mutant that no test catches, names one that is caught or gone.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tools.mutant_runner import SURVIVED, TIMEOUT, Module, Result, Runner, load
from tools.mutation import Mutant, mutants

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "ollm"
REASONS = ROOT / "tools" / "mutants.toml"
DECIDING = ("attest/*/wanted.py", "attest/appraise.py", "attest/composition.py", "attest/machine.py")
DECLARATIONS = ("attest/*checks.py", "attest/tables.py")  # tables of words
SAMPLE = 500
LEAST = 0.85  # caught, of all that were run; one with a reason is not caught either
TESTS = (
    "tests/attest",
    "-m",
    "not slow and not exhaustive and not process",
    "--ignore",
    "tests/attest/test_fuzz.py",
    "--continue-on-collection-errors",
)

Key = tuple[str, str, str, str]


def reasons(text: str) -> dict[Key, str]:
    """Why no test catches a mutant, by its key, from the text of the file."""
    entries = tomllib.loads(text).get("survivor", [])
    return {(entry["file"], entry.get("function", ""), entry["before"], entry["after"]): entry["reason"] for entry in entries}


def matches(file: str, patterns: Iterable[str]) -> bool:
    """Whether one of `patterns` (fnmatch) names `file`."""
    return any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns)


def sample(candidates: Sequence[Mutant], size: int) -> list[Mutant]:
    """`size` of `candidates`, chosen by the digests of their keys: a change elsewhere in the code replaces few of them."""
    ranked = sorted(candidates, key=lambda mutant: hashlib.sha256("\0".join(mutant.key).encode()).digest())
    chosen = {id(mutant) for mutant in ranked[:size]}
    return [mutant for mutant in candidates if id(mutant) in chosen]


def modules() -> dict[str, Module]:
    """Every module of attest that holds code, by its name below src/ollm."""
    files = (path.relative_to(PACKAGE).as_posix() for path in sorted((PACKAGE / "attest").rglob("*.py")))
    return {file: load(PACKAGE / file) for file in files if not matches(file, DECLARATIONS)}


def table(results: Sequence[Result]) -> Iterator[str]:
    """A line for each file, and one for all."""
    yield f"{'':<42} {'mutants':>8} {'caught':>8} {'of them late':>13} {'not caught':>11} {'%':>6}"
    files = sorted({result.mutant.file for result in results})
    for name, chosen in [*((file, [result for result in results if result.mutant.file == file]) for file in files), ("all", results)]:
        missed = sum(result.outcome == SURVIVED for result in chosen)
        late = sum(result.outcome == TIMEOUT for result in chosen)
        caught = len(chosen) - missed
        yield f"{name:<42} {len(chosen):>8} {caught:>8} {late:>13} {missed:>11} {100 * caught / max(len(chosen), 1):>6.1f}"


def missed(results: Sequence[Result], known: dict[Key, str]) -> Iterator[str]:
    """The mutants that no test catches: each with its reason, or as an entry for the file, whose reason is to be found."""
    for result in (result for result in results if result.outcome == SURVIVED):
        mutant = result.mutant
        yield f"\n# {mutant.file}:{mutant.lines[0]}, {result.tests} tests"
        if mutant.key in known:
            yield f"#   - {mutant.before}\n#   + {mutant.after}\n#   {known[mutant.key]}"
        else:
            members = zip(("file", "function", "before", "after", "reason"), (*mutant.key, ""), strict=True)
            yield "\n".join(["[[survivor]]", *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in members)])


def stale(results: Sequence[Result], every: Iterable[Mutant], known: dict[Key, str]) -> Iterator[str]:
    """Entries of the file that no longer hold."""
    existing = {mutant.key for mutant in every}
    surviving = {result.mutant.key for result in results if result.outcome == SURVIVED}
    caught = {result.mutant.key for result in results} - surviving
    for key in known:
        if key not in existing:
            yield f"{REASONS.name}: no such mutant any more: {' | '.join(key)}"
        elif key in caught:
            yield f"{REASONS.name}: caught by now: {' | '.join(key)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", metavar="PATTERN", help="all mutants of these files, below src/ollm; may be repeated")
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"how many of the others ({SAMPLE})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)

    found = modules()
    every = [mutant for file, module in found.items() for mutant in mutants(module.tree, file)]
    deciding = [mutant for mutant in every if matches(mutant.file, options.only or DECIDING)]
    others = [] if options.only else sample([mutant for mutant in every if not matches(mutant.file, DECIDING)], options.sample)
    runner = Runner(found, deciding + others, options.jobs)
    begun = time.monotonic()
    runner.run(TESTS)

    known = reasons(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {}
    results = sorted(runner.results, key=lambda result: (result.mutant.file, result.mutant.lines))
    caught = sum(result.outcome != SURVIVED for result in results) / max(len(results), 1)
    outdated = list(stale(results, every, known))
    print("\n".join([*missed(results, known), "", *table(results), *outdated, *(f"fails without any mutant: {name}" for name in runner.broken)]))
    print(f"\n{len(results)} mutants of {len(every)}, {100 * caught:.1f} % caught, at least {100 * LEAST:.0f} %; {time.monotonic() - begun:.0f} s")
    return 0 if results and caught >= LEAST and not outdated and not runner.broken else 1


if __name__ == "__main__":
    sys.exit(main())
