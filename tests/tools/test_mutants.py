"""Which mutants are run, what is told of them, and when that fails."""

import ast
import subprocess
import sys

import pytest

from tools import mutants as tool
from tools.mutant_runner import CAUGHT, SURVIVED, TIMEOUT, Result
from tools.mutation import mutants

SOURCE = "def f(a):\n    return a == 1\n"
MUTANTS = list(mutants(ast.parse(SOURCE), "attest/some.py"))
REASONS = '[[survivor]]\nfile = "attest/some.py"\nfunction = "f"\nbefore = "a == 1"\nafter = "a != 1"\nreason = "because"\n'


def survives(after: str) -> list[Result]:
    return [Result(mutant, SURVIVED if mutant.after == after else CAUGHT, 3) for mutant in MUTANTS]


def test_what_decides_is_named_by_patterns() -> None:
    for file in ("attest/tdx/wanted.py", "attest/nvidia/wanted.py", "attest/appraise.py", "attest/machine.py", "attest/composition.py"):
        assert tool.matches(file, tool.DECIDING), file
    for file in ("attest/tdx/layout.py", "attest/tdx/appraise.py", "attest/claims.py"):
        assert not tool.matches(file, tool.DECIDING), file


def test_a_sample_is_the_same_each_time_and_hardly_changes_with_the_code() -> None:
    many = list(mutants(ast.parse("\n".join(f"A{n} = {n}" for n in range(400))), "a.py"))
    more = [*many, *mutants(ast.parse("\n".join(f"B{n} = {n}" for n in range(4))), "b.py")]
    chosen = {mutant.key for mutant in tool.sample(many, 100)}
    assert len(tool.sample(many, 100)) == 100
    assert chosen == {mutant.key for mutant in tool.sample(many, 100)}
    assert len(chosen & {mutant.key for mutant in tool.sample(more, 100)}) >= 96


def test_a_table_counts_what_was_late_as_caught() -> None:
    found = [Result(mutant, outcome, 1) for mutant, outcome in zip(MUTANTS, (CAUGHT, TIMEOUT, SURVIVED), strict=False)]
    header, row, total = tool.table(found)
    assert header.split()[0] == "mutants"
    assert row.split() == ["attest/some.py", "3", "2", "1", "1", "66.7"]
    assert total.split()[0] == "all"


def test_each_that_no_test_catches_is_told_with_its_reason_or_as_an_entry_without_one() -> None:
    told = "\n".join(tool.missed(survives("a != 1"), tool.reasons(REASONS)))
    assert told == "\n# attest/some.py:2, 3 tests\n#   - a == 1\n#   + a != 1\n#   because"
    entry = "\n".join(tool.missed(survives("a != 1"), {}))
    assert tool.reasons(entry) == {("attest/some.py", "f", "a == 1", "a != 1"): ""}


def test_reasons_that_no_longer_hold_are_told() -> None:
    known = tool.reasons(REASONS)
    assert list(tool.stale(survives("a != 1"), MUTANTS, known)) == []
    assert "caught by now" in next(tool.stale(survives("none"), MUTANTS, known))
    assert "no such mutant" in next(tool.stale([], [], known))
    assert list(tool.stale([], MUTANTS, known)) == []  # not in this sample


@pytest.mark.exhaustive  # whoever changes such a line learns of it from make mutants
def test_every_reason_is_about_a_mutant_that_exists() -> None:
    every = {mutant.key for file, module in tool.modules().items() for mutant in mutants(module.tree, file)}
    known = tool.reasons(tool.REASONS.read_text(encoding="utf-8"))
    assert [key for key in known if key not in every] == []


@pytest.mark.exhaustive
@pytest.mark.process
@pytest.mark.timeout(600)
def test_mutants_of_one_file_are_caught() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.mutants", "--only", "attest/strict_json.py"], cwd=tool.ROOT, capture_output=True, text=True)
    assert "attest/strict_json.py" in done.stdout, done.stdout + done.stderr
    assert "of 0," not in done.stdout
