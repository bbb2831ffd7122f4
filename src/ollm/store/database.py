"""The SQLite database as SQLAlchemy sees it: for everything that isn't hot."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from ollm.errors import StoreError

BUSY_MS = 5000  # how long a statement off the hot path waits for another writer


def database_path(url: str) -> Path:
    """The file that `url` (sqlite:////absolute/path or sqlite:///relative/path) names. Raises: StoreError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("the store's URL is malformed", "write sqlite:////absolute/path/ollm.db") from None
    if parsed.drivername != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"no store for {parsed.drivername} with this URL", "write sqlite:////absolute/path/ollm.db")
    return Path(parsed.database).absolute()


def connect(path: Path) -> Engine:
    """An engine whose transactions are explicit, durable and begin with the write lock when `writing` was asked for."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_MS / 1000})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def writing(engine: Engine) -> Engine:
    """`engine` for transactions that write: they take the lock at once, so that what they read can't change under them."""
    return engine.execution_options(ollm_writes=True)


def store_error(error: sqlite3.Error | DatabaseError, doing: str) -> StoreError:
    """Our error for the driver's, told by its code alone: its text could quote a row."""
    origin = error.orig if isinstance(error, DatabaseError) else error
    name = getattr(origin, "sqlite_errorname", None) or "SQLITE_ERROR"
    return StoreError(f"{doing} failed: {name}", _MENDS.get(name.removeprefix("SQLITE_").split("_")[0], ""))


_MENDS = {
    "FULL": "make room on the disk",
    "IOERR": "look at the disk",
    "READONLY": "let this user write to the database and its directory",
    "BUSY": "another process holds the database; find and stop it",
    "CORRUPT": "restore the database from a backup",
    "NOTADB": "the file isn't an SQLite database; name another",
    "CONSTRAINT": "a value isn't one that this column may hold",
}


def _on_connect(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself, so that DDL is transactional too
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("ollm_writes") else "BEGIN")
