"""Processes of one benchmark run: pinned to a core, waited for, measured through /proc, and always ended.

Linux only. Everything listens on loopback, on ports that were free when the run began.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)
STOP_SECONDS = 8.0


class BenchError(Exception):
    """The run can't go on; the text says why, for the person who started it."""


@dataclass(frozen=True)
class Cores:
    """Who runs where: the gateway under test alone on one core, load and model server on the other."""

    gateway: int
    load: int


def two_cores() -> Cores:
    """The first two cores this process may use. Raises: BenchError when there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise BenchError("the benchmark needs two cores: one for the gateway, one for load and model server")
    return Cores(gateway=allowed[0], load=allowed[1])


def free_ports(count: int) -> list[int]:
    """`count` different loopback ports that nobody listens on. They are held together, so that none is named twice."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # so that even kill -9 of the harness leaves nothing running


class Process:
    """A child in its own process group, with its output in a file."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    @property
    def pid(self) -> int:
        return self._popen.pid

    def tree(self) -> list[int]:
        """This process and its living descendants."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    queue.extend(int(child) for child in children.read_text().split())
                except OSError:  # it ended between the listing and the reading
                    continue
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the tree so far."""
        total = 0
        for pid in self.tree():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
        return total / _TICKS

    def thread_seconds(self) -> dict[int, tuple[float, float]]:
        """User and system time of each thread of the process itself, by thread id."""
        times = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            times[int(task.name)] = (int(fields[11]) / _TICKS, int(fields[12]) / _TICKS)
        return times

    def reset_peak_memory(self) -> None:
        for pid in self.tree():
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets VmHWM
            except OSError:  # not ours to reset, or gone: the peak is then that of the whole run, which is never too small
                continue

    def peak_memory(self) -> int:
        """Bytes: sum over the tree of each process's peak resident set (VmHWM) since the last reset."""
        total = 0
        for pid in self.tree():
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
        return total

    def must_live(self) -> None:
        """Raises: BenchError with the end of its log when it has ended."""
        if self._popen.poll() is not None:
            raise BenchError(f"{self.name} ended with status {self._popen.returncode}; its log {self.log} ends:\n{tail(self.log)}")

    def wait_for_port(self, port: int, seconds: float) -> None:
        """Returns once something listens on `port`. Raises: BenchError when the process ends or `seconds` pass."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.must_live()
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise BenchError(f"{self.name} did not listen within {seconds:.0f} s; its log {self.log} ends:\n{tail(self.log)}")

    def stop(self) -> None:
        """SIGTERM, a while, then SIGKILL to the whole group."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()


def tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"


class Group:
    """All processes of a run. Leaving the `with` block ends each of them, in reverse order, whatever happened."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[Process] = []

    def start(self, name: str, command: Sequence[str], *, core: int, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
        """Starts `command` pinned to `core`; standard output and error go to `directory`/`name`.log."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        process = Process(name, popen, log)
        self._running.append(process)
        return process

    def stop(self, process: Process) -> None:
        self._running.remove(process)
        process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
        try:
            for process in reversed(self._running):
                process.stop()
            self._running.clear()
        finally:
            signal.signal(signal.SIGINT, previous)


def _raise_exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def end_on_signals() -> None:
    """SIGTERM and SIGHUP unwind the stack like Ctrl-C does, so that `Group` ends its processes."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_exit)
