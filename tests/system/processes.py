"""Processes of ours as an operator would start them, through the command line, with everything they say in files."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "ollm")
START_SECONDS = 40.0  # machines that run tests are often busy
_KEPT = ("PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_START")


def free_ports(count: int) -> list[int]:
    """`count` different loopback ports that nobody listens on.

    They lie below what kernels give out by themselves (Linux from 32768, RFC 6335 from 49152 on): a port that is free now and bound in
    seconds must not become some client's own meanwhile.
    """
    held: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(range(18_000, 32_000), 500):
            probe = socket.socket()
            held.append(probe)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                held.pop().close()
            if len(held) == count:
                return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
    raise AssertionError("this machine has no free ports")


def until(condition: Callable[[], bool], what: str, *, seconds: float = 15.0) -> None:
    """Return once `condition` holds. Fails the test otherwise, naming `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """What a process of ours is given: nothing of the user's set-up, temporary files below `home`."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": str(home), "TMPDIR": str(home / "tmp"), "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **more}


class Process:
    """A child in its own process group; its output lies in `directory`/`name`.out and .err."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.out = directory / f"{name}.out"
        self.err = directory / f"{name}.err"
        with self.out.open("wb") as out, self.err.open("ab") as err:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment), cwd=directory, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def announced(self) -> dict[str, Any]:
        """The JSON document that the process prints once it serves."""
        found: dict[str, Any] = {}

        def read() -> bool:
            if not self.running:
                raise AssertionError(f"{self.name} ended with status {self._popen.returncode}:\n{self.err.read_text()}")
            try:
                found.update(json.loads(self.out.read_text() or "null") or {})
            except ValueError:
                return False  # half printed
            return bool(found)

        until(read, f"{self.name} announces where it serves", seconds=START_SECONDS)
        return found

    def kill(self) -> None:
        """kill -9, as a power cut or the kernel's memory killer would."""
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped in the middle of whatever it does, for the time of the context."""
        self._popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._popen.send_signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        self._popen.send_signal(signal.SIGTERM)

    def ended(self, seconds: float = 30.0) -> int:
        """The exit status, waiting for it."""
        return self._popen.wait(seconds)

    def end(self) -> None:
        """Whatever state it is in, nothing of it is left."""
        if self.running:
            self.ask_to_end()
            try:
                self.ended(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()


def command(directory: Path, *arguments: str) -> Any:
    """Run one `ollm` command to its end and read the JSON that it prints."""
    environment = clean_environment(directory)
    done = subprocess.run([*COMMAND, *arguments], cwd=directory, env=environment, capture_output=True, text=True, timeout=START_SECONDS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
