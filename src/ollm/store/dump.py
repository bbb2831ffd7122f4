"""Backup and restore, also from one kind of database into the other.

SQLite gives a copy of its file (its online backup: consistent while the gateway writes). PostgreSQL gives lines of JSON, read in one snapshot:

    {"ollm":"backup","format":1,"revision":"0003"}
    {"table":"api_keys","columns":["key_id","name","mac",…]}
    ["abcdefgh234567ab","app","<base64>",…]
    …
    {"rows":1234}

A table's line names it; rows follow, values in the order of the schema's columns, bytes as base64; receipts by request id. The last line
counts rows: a file without it is cut off. Receipts rest sealed, as they are in the database; names, times and sums of requests do not:
whoever has the file has what the store's operator has, and it is readable by its owner only.
"""

import base64
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, LargeBinary, Table, select
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.database import is_postgresql, store_error
from ollm.store.files import sync_directory
from ollm.store.migrate import REVISIONS
from ollm.store.schema import ledger_text, metadata, receipts

FORMAT = 1
BATCH = 1000  # rows
TABLES = tuple(table for table in metadata.sorted_tables)  # in an order in which each refers to those before it alone
RECEIPT_COLUMNS = ("request_id", "sealed")  # wherever they are kept
_MAGIC = b"SQLite format 3\0"
Rows = Iterator[Sequence[Any]]


def columns_of(table: Table) -> tuple[str, ...]:
    return RECEIPT_COLUMNS if table is receipts else tuple(str(column.name) for column in table.columns)


def backup(engine: Engine, file: Path) -> int:
    """Write all that the database holds, as it is at one moment, to a new `file`. Returns its size in bytes. Raises: StoreError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise StoreError(f"{file} exists", "name another file: a backup overwrites nothing") from None
    except OSError as error:
        raise StoreError(f"can't write {file}: {error.strerror}", "name a file in a directory that this user may write to") from None
    try:
        if is_postgresql(engine):
            _write_lines(engine, descriptor)
        else:
            _copy(engine, file)
        os.fsync(descriptor)
        sync_directory(file.absolute().parent)
        return os.fstat(descriptor).st_size
    except BaseException as error:
        file.unlink()
        if isinstance(error, OSError):
            raise StoreError(f"can't write {file}: {error.strerror}", "make room on the disk") from None
        if isinstance(error, (DatabaseError, sqlite3.Error)):
            raise store_error(error, "making the backup") from None
        raise
    finally:
        os.close(descriptor)


def _copy(engine: Engine, file: Path) -> None:
    with closing(sqlite3.connect(str(engine.url.database))) as here, closing(sqlite3.connect(file)) as there:
        here.backup(there, pages=2048, sleep=0.005)
        there.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it


def _write_lines(engine: Engine, descriptor: int) -> None:
    encode = msgspec.json.Encoder().encode
    rows = 0
    with (
        open(os.dup(descriptor), "wb", buffering=1 << 20) as out,
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
    ):
        out.write(encode({"ollm": "backup", "format": FORMAT, "revision": REVISIONS[-1]}) + b"\n")
        for table in TABLES:
            out.write(encode({"table": str(table.name), "columns": columns_of(table)}) + b"\n")
            for row in _read(connection, table):
                out.write(encode(row) + b"\n")  # bytes become base64
                rows += 1
        out.write(encode({"rows": rows}) + b"\n")


def _read(connection: Connection, table: Table) -> Iterator[list[Any]]:
    if table is receipts:
        query = select(ledger_text.c.request_id, ledger_text.c.receipt).where(ledger_text.c.receipt.is_not(None))
    else:
        query = select(table).order_by(*table.primary_key.columns)
    for row in connection.execution_options(yield_per=BATCH).execute(query):
        yield list(row)


class Backup:
    """A backup's rows, table by table, from either form of file. Use it within `with`."""

    def __init__(self, file: Path) -> None:
        """Raises: StoreError when it is no backup of this version."""
        try:
            self._lines = file.open("rb")
        except OSError as error:
            raise StoreError(f"can't read {file}: {error.strerror}", "name a file that `ollm db backup` made") from None
        self._database: sqlite3.Connection | None = None
        try:
            head = self._lines.read(len(_MAGIC))
            self._lines.seek(0)
            if head == _MAGIC:
                self._database = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            revision = self._revision()
            if revision != REVISIONS[-1]:
                raise StoreError(
                    f"the backup is of revision {revision}, not {REVISIONS[-1]}", "restore it with the version that made it, then upgrade"
                )
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Backup":
        return self

    def __exit__(self, *exc: object) -> None:
        self._lines.close()
        if self._database is not None:
            self._database.close()

    def _revision(self) -> str:
        if self._database is not None:
            try:
                return str(self._database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
            except (sqlite3.Error, TypeError):
                raise _no_backup() from None
        head = _line(self._lines.readline())
        if not isinstance(head, dict) or head.get("ollm") != "backup" or head.get("format") != FORMAT or not str(head.get("revision")).isdigit():
            raise _no_backup()
        return str(head["revision"])

    def tables(self) -> Iterator[tuple[Table, Rows]]:
        """Each table with its rows, whose values are in the order of `columns_of`; read them before the next. Raises: StoreError."""
        if self._database is None:
            yield from self._from_lines()
            return
        try:
            for table in TABLES:
                yield table, iter(self._database.execute(_ask(table)))
        except sqlite3.Error as error:
            raise store_error(error, "reading the backup") from None

    def _from_lines(self) -> Iterator[tuple[Table, Rows]]:
        count = [0]
        line = _line(self._lines.readline())
        for table in TABLES:
            if line != {"table": table.name, "columns": list(columns_of(table))}:
                raise _no_backup()
            ended: list[Any] = []
            yield table, self._rows(table, count, ended)
            line = ended[0] if ended else None
        if line != {"rows": count[0]}:
            raise StoreError("the backup is cut off, or was changed", "use another one")

    def _rows(self, table: Table, count: list[int], ended: list[Any]) -> Rows:
        """Rows until the next line that is none, which goes to `ended`."""
        names = columns_of(table)
        blobs = [names.index(column.name) for column in table.columns if isinstance(column.type, LargeBinary)]
        while isinstance(row := _line(self._lines.readline()), list):
            try:
                for at in blobs:
                    row[at] = base64.b64decode(row[at], validate=True)
            except (ValueError, TypeError, IndexError):
                raise _no_backup() from None
            count[0] += 1
            yield row
        ended.append(row)


def _ask(table: Table) -> str:
    if table is receipts:
        return "SELECT ledger.request_id, receipts.sealed FROM receipts JOIN ledger ON ledger.entry = receipts.entry"
    return f"SELECT {', '.join(columns_of(table))} FROM {table.name}"  # noqa: S608 - names of the schema


def _line(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        raise StoreError("the backup is cut off, or was changed", "use another one") from None


def _no_backup() -> StoreError:
    return StoreError("the file is no backup of OLLM's, or of another version", "name a file that `ollm db backup` made")


def in_batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """`rows`, so many at a time."""
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch
