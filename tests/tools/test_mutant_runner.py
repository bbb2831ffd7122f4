"""A mutant changes loaded code for all who hold it: functions behind decorators, methods, defaults, constants and what builds on them."""

import ast
import importlib
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import mutant_runner
from tools.mutation import mutants

SOURCE = """
from contextlib import contextmanager
from functools import cache
LIMIT = 7
TWICE = LIMIT * 2
def plain(a=1, *, b=2):
    return a + b
@cache
def cached():
    return 3
@contextmanager
def managed():
    yield 4
class C:
    @property
    def value(self):
        return 5
    @staticmethod
    def static():
        return 6
def limit():
    return LIMIT, TWICE
ONE, TWO = 1, 2
def pair():
    return ONE, TWO
def early():
    return 10
EARLY = early()
def constant():
    return EARLY
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module of its own, and another that imported from it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "sound.py").write_text(SOURCE)
    yield importlib.import_module("sound")
    del sys.modules["sound"]


def install(module: types.ModuleType, function: str, before: str, after: str) -> None:
    tree = ast.parse(SOURCE)
    mutant = next(mutant for mutant in mutants(tree, "sound.py") if mutant.key == ("sound.py", function, before, after))
    mutant_runner.install(module, tree, mutant)


@pytest.mark.parametrize(
    ("mutant", "call", "values"),
    [
        (("plain", "a + b", "a - b"), lambda sound: sound.plain(), (3, -1)),
        (("plain", "1", "2"), lambda sound: sound.plain(), (3, 4)),
        (("plain", "2", "3"), lambda sound: sound.plain(), (3, 4)),
        (("cached", "3", "4"), lambda sound: sound.cached(), (3, 4)),
        (("managed", "4", "5"), lambda sound: sound.managed().__enter__(), (4, 5)),
        (("C.value", "5", "6"), lambda sound: sound.C().value, (5, 6)),
        (("C.static", "6", "7"), lambda sound: sound.C.static(), (6, 7)),
        (("", "7", "8"), lambda sound: sound.limit(), ((7, 14), (8, 16))),
        (("", "2", "3"), lambda sound: sound.limit(), ((7, 14), (7, 21))),
        (("", "1", "2"), lambda sound: sound.pair(), ((1, 2), (2, 2))),
        (("early", "10", "11"), lambda sound: sound.constant(), (10, 11)),
    ],
)
def test_what_is_loaded_changes(
    module: types.ModuleType, mutant: tuple[str, str, str], call: Callable[[types.ModuleType], object], values: tuple[object, object]
) -> None:
    assert call(module) == values[0]
    install(module, *mutant)
    assert call(module) == values[1]


def test_a_constant_changes_where_it_was_imported(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    importer = types.ModuleType("ollm.importer")
    importer.LIMIT, importer.OTHER = module.LIMIT, module.LIMIT  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ollm.importer", importer)

    install(module, "", "7", "8")

    assert (importer.LIMIT, importer.OTHER) == (8, 7)


@pytest.mark.parametrize(("status", "outcome"), [(0, mutant_runner.SURVIVED), (1, mutant_runner.CAUGHT)])
def test_a_fork_that_fails_has_caught_its_mutant(status: int, outcome: str) -> None:
    process = os.fork()
    if not process:
        os._exit(status)
    found = None
    while found is None:
        found = mutant_runner._ended(process, late=False)
    assert found == outcome


def test_a_fork_that_hangs_is_ended() -> None:
    process = os.fork()
    if not process:
        time.sleep(60)
        os._exit(0)
    assert mutant_runner._ended(process, late=True) == mutant_runner.TIMEOUT


def test_a_module_knows_its_name() -> None:
    assert mutant_runner.load(mutant_runner.ROOT / "src/ollm/attest/tdx/wanted.py").name == "ollm.attest.tdx.wanted"
    assert mutant_runner.load(mutant_runner.ROOT / "src/ollm/attest/__init__.py").name == "ollm.attest"
