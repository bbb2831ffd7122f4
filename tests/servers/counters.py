"""Servers that tests start for themselves, from the machine's packages: on loopback or a Unix socket, in a folder of their own."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 20.0


def counter_program() -> str:
    """Path of Valkey's server, or of Redis'. Skips the test where there is neither."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin") or shutil.which(name)
        if found:
            return found
    pytest.skip("neither valkey-server nor redis-server is installed: make servers brings it")


class CounterServer:
    """A Valkey or Redis on a Unix socket in `folder` (whose path is short), or on a loopback port; it keeps nothing on disk unless `durable`."""

    def __init__(self, folder: Path, *, port: int = 0, durable: bool = False, password: str | None = None) -> None:
        self._folder = folder
        self._socket = folder / "counters.sock"
        self._port = port
        options = {"port": port, "bind": "127.0.0.1", "unixsocket": self._socket, "dir": folder, "save": "", "loglevel": "warning"}
        options |= {"appendonly": "yes" if durable else "no", "appendfsync": "always"}
        if password is not None:
            options["requirepass"] = password
        self._command = [counter_program(), *[part for name, value in options.items() for part in (f"--{name}", str(value))]]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0" if self._port else f"unix://{self._socket}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._socket.unlink(missing_ok=True)
        with (self._folder / "counters.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "counters.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(self._socket))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))  # -LOADING: not yet
        return False

    def kill(self) -> None:
        """kill -9: what isn't on disk is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It keeps its connections, and answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def counter_server(folder: Path, *, port: int = 0, durable: bool = False, password: str | None = None) -> Iterator[CounterServer]:
    """A server that runs until the block ends."""
    server = CounterServer(folder, port=port, durable=durable, password=password)
    server.start()
    try:
        yield server
    finally:
        server.kill()
