"""Runs mutants in forks of a process in which all tests ran once.

That first run notes which test executes which line. A fork then changes one function, or one constant, of the loaded module in place,
so that whoever imported it sees the change, and runs the tests that execute the line until one fails. Fixtures of wider scope than a
function are kept: what they made was made by sound code, as an attacker's evidence is.
"""

import ast
import gc
import os
import resource
import signal
import sys
import time
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.fixtures import FixtureDef
from _pytest.runner import runtestprotocol

from tools.mutation import Mutant, functions

ROOT = Path(__file__).parent.parent
BUDGET_SECONDS = 4.0  # of tests beyond the module's own, by their first run: what they miss, others rarely catch
_MEMORY = 4 << 30  # a mutant that never stops growing ends here
CAUGHT, SURVIVED, TIMEOUT = "caught", "survived", "timeout"


@dataclass(frozen=True)
class Result:
    """What became of a mutant: caught, survived or timeout. `tests` were run for it at most."""

    mutant: Mutant
    outcome: str
    tests: int


@dataclass
class Module:
    """A module and its tree, which mutants change in place."""

    name: str  # ollm.attest.tdx.wanted
    path: Path
    tree: ast.Module


def load(path: Path) -> Module:
    """The module at `path`, below src."""
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8")))


# Putting a mutant into loaded code


def install(module: types.ModuleType, tree: ast.Module, mutant: Mutant) -> None:
    """Change what `mutant` changes, for all who hold it. Raises: whatever evaluating a constant or a default raises."""
    mutant.apply()
    try:
        if mutant.function:
            _replace_function(module, functions(tree)[mutant.function], mutant.function)
            _replace_constants(module, tree, changed={mutant.function})
        else:
            _replace_constants(module, tree, line=mutant.lines[0])
    finally:
        mutant.undo()
    for name, other in list(sys.modules.items()):
        if name.startswith("ollm.attest") or other is module:
            for value in list(vars(other).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()  # what sound code found out is not known to the mutant


def _replace_function(module: types.ModuleType, node: ast.FunctionDef, name: str) -> None:
    plain = ast.FunctionDef(node.name, node.args, node.body, [], None, lineno=node.lineno, col_offset=0)
    namespace = dict(vars(module))
    exec(compile(ast.Module([plain], []), module.__file__ or "", "exec"), namespace)  # noqa: S102  # the project's own code, changed
    changed, target = namespace[node.name], _function(module, name)
    target.__code__, target.__defaults__, target.__kwdefaults__ = changed.__code__, changed.__defaults__, changed.__kwdefaults__


def _function(module: types.ModuleType, name: str) -> types.FunctionType:
    """The function object behind decorators, properties and the like."""
    found: Any = module
    for part in name.split("."):
        found = vars(found)[part]
    while not isinstance(found, types.FunctionType) or hasattr(found, "__wrapped__"):
        found = next(getattr(found, way) for way in ("__wrapped__", "__func__", "fget") if getattr(found, way, None) is not None)
    return found


def _replace_constants(module: types.ModuleType, tree: ast.Module, *, line: int = 0, changed: Iterable[str] = ()) -> None:
    """Evaluate anew the statement at `line`, and what builds on it or on `changed`; put the values wherever the old ones were imported."""
    changed = set(changed)
    for node in tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        read = {child.id for child in ast.walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load)}
        if node.lineno != line and not read & changed:
            continue
        namespace = dict(vars(module))
        exec(compile(ast.Module([node], []), module.__file__ or "", "exec"), namespace)  # noqa: S102  # the project's own code, changed
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for name in (child.id for child in ast.walk(target) if isinstance(child, ast.Name)):
                changed.add(name)
                _put(module, name, namespace[name])


def _put(module: types.ModuleType, name: str, value: object) -> None:
    old = vars(module)[name]
    for other in [each for key, each in sys.modules.items() if key.startswith("ollm.")]:
        if vars(other).get(name) is old:
            setattr(other, name, value)
    setattr(module, name, value)


# Running


@dataclass
class _Tests:
    """Tests in the order of collection, how long each took, and which execute a line of a file."""

    items: list[pytest.Item]
    seconds: dict[str, float] = field(default_factory=dict)
    by_line: dict[str, dict[int, set[str]]] = field(default_factory=dict)

    def of(self, mutant: Mutant, path: Path) -> list[pytest.Item]:
        """Those that execute the mutant's lines; for what ran at import already, those that execute anything of its module."""
        lines = self.by_line.get(str(path), {})
        wanted = range(mutant.lines[0], mutant.lines[1] + 1) if mutant.function else lines.keys()
        names = {name for line in wanted for name in lines.get(line, ())}
        if not names:
            names = {name for line in lines.values() for name in line}
        own = f"tests/{Path(mutant.file).parent}/test_{path.stem}.py::"
        mine = [item for item in self.items if item.nodeid in names and item.nodeid.startswith(own)]
        others = sorted((item for item in self.items if item.nodeid in names and not item.nodeid.startswith(own)), key=self._nearness(own))
        chosen, spent = mine, 0.0
        for item in others:
            spent += self.seconds[item.nodeid]
            if spent > BUDGET_SECONDS:
                break
            chosen = [*chosen, item]
        return chosen

    def _nearness(self, own: str) -> Any:
        """First the same folder, then what is quick (by powers of ten, as times vary), then by name."""
        folder = own.rpartition("/")[0]
        return lambda item: (not item.nodeid.startswith(folder + "/"), len(f"{self.seconds[item.nodeid] * 1000:.0f}"), item.nodeid)


class Runner:
    """A pytest plugin that runs mutants instead of tests."""

    def __init__(self, modules: dict[str, Module], mutants: Sequence[Mutant], jobs: int) -> None:
        """`modules` by the file that mutants name."""
        self.modules = modules
        self.mutants = mutants
        self.jobs = jobs
        self.results: list[Result] = []
        self.broken: list[str] = []  # tests that fail without any mutant

    def run(self, arguments: Sequence[str]) -> int:
        """Collect by pytest's `arguments`, then run all mutants; pytest's exit status."""
        return int(pytest.main(["-q", "-s", "-p", "no:cacheprovider", *arguments], plugins=[self]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _keep_fixtures()
        begun = time.monotonic()
        tests = self._first_run(session.items)
        sys.stderr.write(f"{len(session.items)} tests once, {time.monotonic() - begun:.0f} s; then {len(self.mutants)} mutants\n")
        gc.freeze()  # forks then share pages for longer
        for result in self._all(tests):
            self.results.append(result)
            if not len(self.results) % 250:
                sys.stderr.write(f"{len(self.results)} mutants, {time.monotonic() - begun:.0f} s\n")
        session._setupstate.teardown_exact(None)
        return True

    def _first_run(self, items: list[pytest.Item]) -> _Tests:
        measured = coverage.Coverage(data_file=None, config_file=False, include=[str(module.path) for module in self.modules.values()])
        tests = _Tests(items)
        measured.start()
        for at, item in enumerate(items):
            measured.switch_context(item.nodeid)
            begun = time.perf_counter()
            if not _passes(item, items[at + 1] if at + 1 < len(items) else None):
                self.broken.append(item.nodeid)
            tests.seconds[item.nodeid] = time.perf_counter() - begun
        measured.stop()
        data = measured.get_data()
        for file in data.measured_files():
            lines: dict[int, set[str]] = defaultdict(set)
            for line, names in data.contexts_by_lineno(file).items():
                lines[line] = set(names) - {""} - set(self.broken)
            tests.by_line[file] = lines
        return tests

    def _all(self, tests: _Tests) -> Iterator[Result]:
        waiting = list(reversed(self.mutants))
        running: dict[int, tuple[Mutant, int, float]] = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop()
                chosen = tests.of(mutant, self.modules[mutant.file].path)
                limit = 10 + 10 * sum(tests.seconds[item.nodeid] for item in chosen)
                running[self._fork(mutant, chosen)] = (mutant, len(chosen), time.monotonic() + limit)
            time.sleep(0.002)
            for process, (mutant, count, deadline) in list(running.items()):
                outcome = _ended(process, late=time.monotonic() > deadline)
                if outcome is not None:
                    del running[process]
                    yield Result(mutant, outcome, count)

    def _fork(self, mutant: Mutant, items: Sequence[pytest.Item]) -> int:
        process = os.fork()
        if process:
            return process
        status = 1  # what can't be installed would be noticed at import
        try:
            _quiet()
            module = self.modules[mutant.file]
            install(sys.modules[module.name], module.tree, mutant)
            if items:
                items[0].session._setupstate.teardown_exact(items[0])
            passed = all(_passes(item, items[at + 1] if at + 1 < len(items) else None) for at, item in enumerate(items))
            status = 0 if passed else 1
        finally:
            os._exit(status)


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Run one test. What stands above the last one is left standing."""
    following = following if following is not None else item.parent  # type: ignore[assignment]  # its chain of parents is all that is asked for
    reports = runtestprotocol(item, log=False, nextitem=following)
    return not any(report.failed for report in reports)


def _keep_fixtures() -> None:
    """Fixtures of modules, classes and the session outlast them: a fork begins with all of them made."""
    finish = FixtureDef.finish

    def finish_short_lived(self: FixtureDef[Any], request: Any) -> None:
        if self.scope == "function":
            finish(self, request)

    FixtureDef.finish = finish_short_lived  # type: ignore[method-assign]  # pytest has no setting for it


def _quiet() -> None:
    """No output, no memory without end, and no way back to a shell that waits for the parent."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _ended(process: int, *, late: bool) -> str | None:
    """The outcome of a fork, or None while it runs. A late one is killed."""
    if late:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return TIMEOUT
    done, status = os.waitpid(process, os.WNOHANG)
    if not done:
        return None
    return SURVIVED if os.waitstatus_to_exitcode(status) == 0 else CAUGHT
