"""A PostgreSQL server of the tests' own: on loopback, in a folder of its own, gone when they end.

Its programs come from the machine (Debian: `apt-get install postgresql`), newest version first. They refuse to run as root, so that root
hands the folder to another user. `fsync` stays on, as in earnest.
"""

import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

MISSING = "PostgreSQL is not installed: make servers brings it"
USER = "ollm"
_ROOM = 4 << 30  # bytes
_SECONDS = 30.0  # for it to start or stop
_numbers = itertools.count(1)


def programs() -> Path | None:
    """The folder of initdb and postgres, of the newest version on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _other_user() -> str | None:
    """Who runs the server: nobody else than us, unless we are root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _fast_folder() -> str | None:
    """A file system in memory, where there is one with room: what a test of a killed process needs from the disk, it has."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM else None


class Postgres:
    """One cluster. `start` it, ask for databases, `stop` it in any manner, `close` it."""

    def __init__(self, bin_folder: Path, *, on_disk: bool = False) -> None:
        self._bin = bin_folder
        self._user = _other_user()
        # Short: a socket's path has 107 bytes at most.
        self._folder = Path(tempfile.mkdtemp(prefix="ollm-pg-", dir=None if on_disk else _fast_folder()))
        self.password = secrets.token_hex(16)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        password = self._folder / "password"
        password.write_text(self.password)
        if self._user is not None:
            shutil.chown(self._folder, self._user)
            shutil.chown(password, self._user)
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}"]
        self._run([*command, "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync"])

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def log(self) -> bytes:
        """What the server wrote about its work."""
        return (self._folder / "log").read_bytes()

    @property
    def files(self) -> Iterator[Path]:
        """Every file of the cluster, its log included."""
        return (path for path in self._folder.rglob("*") if path.is_file())

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, user=self._user, group=self._group, cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")

    @property
    def _group(self) -> int | None:
        return None if self._user is None else pwd.getpwnam(self._user).pw_gid

    def start(self, *settings: str) -> None:
        """Start it, or start it again on the port that it had, and wait until it takes connections."""
        if self.port == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", "max_connections=60"]
        options += ["shared_buffers=64MB", "log_statement=none", "autovacuum_naptime=5s", *settings]
        command = [str(self._bin / "postgres"), "-D", str(self._data), *(word for option in options for word in ("-c", option))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, group=self._group, cwd=self._folder, stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + _SECONDS
        while True:
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL doesn't start: {self.log.decode(errors='replace')[-2000:]}") from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: connections are cut, data is in order. SIGKILL: as a crash of the whole server."""
        if self._process is None:
            return
        if how is signal.SIGKILL:
            self._signal(signal.SIGKILL)
        else:
            self._process.send_signal(how)
        self._process.wait(_SECONDS)
        self._process = None

    def pause(self) -> None:
        """All its processes stand still, as on a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in [str(self._process.pid), *self._children()] if self._process is not None else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), number)

    def _children(self) -> list[str]:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def close(self) -> None:
        self.go_on()
        self.stop(signal.SIGQUIT)  # without writing everything down: it is thrown away
        shutil.rmtree(self._folder, ignore_errors=True)

    def dsn(self, database: str) -> str:
        """What psycopg takes."""
        return f"host=127.0.0.1 port={self.port} user={USER} password={self.password} dbname={database} sslmode=disable"

    def url(self, database: str) -> str:
        """What the configuration takes; the password is apart."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def ask(self, question: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            return connection.execute(question.encode()).fetchall()

    def database(self, template: str = "template0") -> str:
        """A new database, made from `template`."""
        name = f"t{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def started(*settings: str) -> Postgres:
    """A running server, or the test is skipped with the reason."""
    found = programs()
    if found is None:
        pytest.skip(MISSING)
    server = Postgres(found)
    try:
        server.start(*settings)
    except BaseException:
        server.close()
        raise
    return server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole session."""
    server = started()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def own_postgres() -> Iterator[Callable[..., Postgres]]:
    """Makes servers that a test may kill: nobody else's connections are on them."""
    servers: list[Postgres] = []

    def make(*settings: str) -> Postgres:
        servers.append(started(*settings))
        return servers[-1]

    try:
        yield make
    finally:
        for server in servers:
            server.close()
