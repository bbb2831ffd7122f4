"""What store tests are made of: ids, intents, entries."""

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import psycopg

from ollm.store.place import Place
from ollm.store.sqlite import Store, open_store
from ollm.values.ledger import Entry, Intent, Status
from ollm.values.usage import Usage
from tests.servers.postgres import Postgres

ROW_KEY = b"row key".ljust(32, b".")
PEPPER = b"pepper".ljust(32, b".")
KEY_ID = "abcdefgh234567ab"
SESSION = "5e" * 32
START = 1_700_000_000_000
CANARY = "Dear model, my diagnosis is"  # what must never be found in a store

_counter = itertools.count(1)


def request_id(ms: int = START) -> str:
    """An id as the gateway makes them, of a request that began at `ms`; ids of one time are in the order in which they were made."""
    return f"{ms:012x}{next(_counter):08x}{os.urandom(6).hex()}"


def intent(request: str | None = None, **changed: Any) -> Intent:
    values: dict[str, Any] = {
        "request_id": request or request_id(),
        "key_id": KEY_ID,
        "model": "llama-3.3/70b",
        "upstream": "enclave-1",
        "level": "tee",
        "session_id": SESSION,
        "started_ms": START,
    }
    return Intent(**(values | changed))


def entry(request: str | None = None, **changed: Any) -> Entry:
    values: dict[str, Any] = {
        "request_id": request or request_id(),
        "key_id": KEY_ID,
        "endpoint": "chat.completions",
        "model": "llama-3.3/70b",
        "upstream": "enclave-1",
        "level": "tee",
        "session_id": SESSION,
        "status": Status.COMPLETED,
        "http_status": 200,
        "streamed": True,
        "started_ms": START,
        "usage": Usage(input_tokens=10, cached_tokens=5, output_tokens=7, reasoning_tokens=2),
        "cost_micro": 1234,
        "price_version": "config",
        "verify_us": 0,
        "headers_us": 20_000,
        "first_us": 30_000,
        "total_us": 40_000,
        "receipt": b"sealed receipt",
    }
    return Entry(**(values | changed))


def url(directory: Path) -> str:
    return f"sqlite:///{directory}/ollm.db"


class _Closing(sqlite3.Connection):
    """Closes at the end of `with`; sqlite3's own only commits there."""

    def __exit__(self, *exc: Any) -> Literal[False]:
        super().__exit__(*exc)
        self.close()
        return False


def raw(directory: Path) -> sqlite3.Connection:
    """The database as anyone with the file sees it, closed at the end of `with`."""
    return sqlite3.connect(directory / "ollm.db", isolation_level=None, timeout=5, factory=_Closing)


class Database(Protocol):
    """A database of either kind, for tests that hold for both."""

    kind: str
    folder: Path
    place: Place

    def open(self, **options: Any) -> Store: ...

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """One statement, committed, as anyone who may write to the database does it; its rows."""
        ...

    def holds(self, needle: bytes) -> bool:
        """Whether any file of the database or beside it has these bytes."""
        ...


class File:
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place: Place = folder / "ollm.db"

    def open(self, **options: Any) -> Store:
        return open_store(self.place, **{"row_key": ROW_KEY, **options})

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with raw(self.folder) as connection:
            return connection.execute(statement).fetchall()

    def holds(self, needle: bytes) -> bool:
        return bool(files_with(self.folder, needle))


class OnServer:
    kind = "postgresql"

    def __init__(self, folder: Path, server: Postgres, name: str, place: Place) -> None:
        self.folder = folder
        self.place = place
        self.dsn = server.dsn(name)
        self.server = server

    def open(self, **options: Any) -> Store:
        return open_store(self.place, **{"row_key": ROW_KEY, "folder": self.folder, **options})

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        spelled = statement.replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')")  # the one thing that tests say in SQLite's words
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(spelled.encode())
            return cursor.fetchall() if cursor.description else []

    def holds(self, needle: bytes) -> bool:
        self.run("CHECKPOINT")
        ((own,),) = self.run("SELECT 'base/' || oid FROM pg_database WHERE datname = current_database()")
        looked_at = [path for path in self.server.files if f"{own}/" in str(path) or "pg_wal/" in str(path) or path.name == "log"]
        return any(needle in _bytes_of(path) for path in looked_at) or bool(files_with(self.folder, needle))


def _bytes_of(path: Path) -> bytes:
    """What is in a file of a running server; nothing where the server took it away meanwhile, as it does with its caches."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def files_with(directory: Path, needle: bytes) -> list[str]:
    """Names of the files that hold `needle`."""
    return [path.name for path in directory.iterdir() if needle in path.read_bytes()]


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def eventually(condition: Callable[[], bool], seconds: float = 2) -> None:
    """Return as soon as `condition` holds. Raises: TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the store, which sets no event for tests
            await asyncio.sleep(0.002)
