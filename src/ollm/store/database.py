"""Both databases as SQLAlchemy sees them: for everything that isn't hot."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, cast, create_engine, event, func, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.schema import BIGINT

BUSY_MS = 5000  # how long a statement off the hot path waits for another writer
_ADVISORY = 0x6F6C6C6D  # "ollm": the first half of the numbers of our advisory locks
LOCKS = {"migrate": 1, "partitions": 2, "rollups": 3, "audit": 4}


def connect(path: Path) -> Engine:
    """An engine whose transactions are explicit, durable and begin with the write lock when `writing` was asked for."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_MS / 1000})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def writing(engine: Engine) -> Engine:
    """`engine` for transactions that write: they take the lock at once, so that what they read can't change under them."""
    return engine.execution_options(ollm_writes=True)


def is_postgresql(what: Connection | Engine) -> bool:
    return what.dialect.name == "postgresql"


def take_turn(connection: Connection, lock: str) -> None:
    """Wait for one's turn until the transaction ends: on SQLite, who writes has it already."""
    if is_postgresql(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:space, :lock)"), {"space": _ADVISORY, "lock": LOCKS[lock]})


def has_turn(connection: Connection, lock: str) -> bool:
    """Whether the turn was free, and is ours until the transaction ends."""
    if not is_postgresql(connection):
        return True
    asked = text("SELECT pg_try_advisory_xact_lock(:space, :lock)")
    return bool(connection.execute(asked, {"space": _ADVISORY, "lock": LOCKS[lock]}).scalar_one())


def inserting(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that can say what happens on a conflict, which each database has as a dialect of its own."""
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)


def total(column: ColumnElement[Any]) -> ColumnElement[int]:
    """The sum of whole numbers, as one: PostgreSQL's own sum of them is a decimal, and that of nothing is NULL on both."""
    return func.coalesce(cast(func.sum(column), BIGINT), 0)


def store_error(error: Exception, doing: str) -> StoreError:
    """Our error for a driver's, told by its code alone: its text could quote a row."""
    origin = error.orig if isinstance(error, DatabaseError) else error
    if hasattr(type(origin), "sqlstate"):  # psycopg's, which is there only where the extra is installed
        return _server_error(type(origin).__name__, getattr(origin, "sqlstate", None), doing)
    name = getattr(origin, "sqlite_errorname", None) or "SQLITE_ERROR"
    return StoreError(f"{doing} failed: {name}", _MENDS.get(name.removeprefix("SQLITE_").split("_")[0], ""))


def _server_error(name: str, state: str | None, doing: str) -> StoreError:
    if state is None:
        return StoreError(f"{doing} failed: the server can't be reached", "look at the server, at the network, and at [store]")
    return StoreError(f"{doing} failed: {name} ({state})", _STATES.get(state) or _STATES.get(state[:3]) or _STATES.get(state[:2], ""))


_MENDS = {
    "FULL": "make room on the disk",
    "IOERR": "look at the disk",
    "READONLY": "let this user write to the database and its directory",
    "BUSY": "another process holds the database; find and stop it",
    "CORRUPT": "restore the database from a backup",
    "NOTADB": "the file isn't an SQLite database; name another",
    "CONSTRAINT": "a value isn't one that this column may hold",
}
# By SQLSTATE, or its class (PostgreSQL's appendix A).
_STATES = {
    "23": "a value isn't one that this column may hold",
    "28": "give the role its password: store.password",
    "3D": "create the database: createdb --owner ROLE NAME",
    "42501": "make the role the owner of the database",
    "53100": "make room on the server's disk",
    "53300": "let the server take more connections, or lower store.connections",
    "57P": "look at the server",
    "55P03": "another process holds the table; find and stop it",
    "57014": "the server took too long; look at its load",
    "XX": "restore the database from a backup",
}


def _on_connect(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself, so that DDL is transactional too
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("ollm_writes") else "BEGIN")
