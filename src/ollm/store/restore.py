"""A backup into an empty database of either kind, in one transaction: it is there whole, or not at all."""

import hmac
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.database import is_postgresql, store_error, take_turn, writing
from ollm.store.dump import Backup, Rows, columns_of, in_batches
from ollm.store.migrate import row_key_check
from ollm.store.partitions import make_days
from ollm.store.schema import installation, ledger, metadata, names, organisations, projects, receipts, rolled
from ollm.store.subjects import TABLES, is_authentic, subject_of

_FROM_THE_BEGINNING = {installation, organisations, projects, rolled}  # have one row each in a new database
_RECEIPT_BY_ENTRY = text("INSERT INTO receipts (entry, sealed) SELECT entry, :sealed FROM ledger WHERE request_id = :request_id")


class Restored(msgspec.Struct, frozen=True):
    """What a backup brought."""

    installation_id: str
    rows: dict[str, int]  # by table


def restore(engine: Engine, file: Path, row_key: bytes) -> Restored:
    """Bring the backup in `file` into the database, which must be new and prepared. Raises: StoreError; then nothing has changed."""
    try:
        with Backup(file) as backup, writing(engine).begin() as connection:
            take_turn(connection, "migrate")
            _require_empty(connection)
            for table in (rolled, projects, organisations, installation):
                connection.execute(delete(table))
            counts = {table.name: _insert(connection, table, rows) for table, rows in backup.tables()}
            found = _require_row_key(connection, row_key)
            _require_authentic(connection, row_key)
            _go_on_counting(connection)
    except (DatabaseError, sqlite3.Error) as error:
        raise store_error(error, "restoring the backup") from None
    return Restored(found, counts)


def _require_empty(connection: Connection) -> None:
    for table in metadata.sorted_tables:
        count = connection.execute(select(func.count()).select_from(table)).scalar_one() if table is not receipts else 0
        if count > (1 if table in _FROM_THE_BEGINNING else 0):
            raise StoreError(f"the database isn't empty: {table.name} has {count} rows", "restore into a new one")


def _insert(connection: Connection, table: Table, rows: Rows) -> int:
    count = 0
    names_of = columns_of(table)
    for batch in in_batches(rows):
        given = [_row(names_of, values) for values in batch]
        if table is ledger and is_postgresql(connection):
            make_days(connection, (str(row["request_id"]) for row in given))
        if table is not receipts:
            connection.execute(insert(table), given)
        elif is_postgresql(connection):
            connection.execute(text("INSERT INTO receipts (request_id, sealed) VALUES (:request_id, :sealed)"), given)
        else:
            connection.execute(_RECEIPT_BY_ENTRY, given)
        count += len(given)
    return count


def _row(names_of: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    if len(values) != len(names_of):
        raise StoreError("the backup is cut off, or was changed", "use another one")
    return dict(zip(names_of, values, strict=True))


def _require_row_key(connection: Connection, row_key: bytes) -> str:
    """The id of the installation whose backup it is."""
    row = connection.execute(select(installation.c.installation_id, installation.c.row_key_check)).one_or_none()
    if row is None or not hmac.compare_digest(row.row_key_check, row_key_check(row_key, row.installation_id)):
        raise StoreError("the backup was made with another row key", "restore that key (secrets.row_key) first")
    return str(row.installation_id)


def _require_authentic(connection: Connection, row_key: bytes) -> None:
    bad = false_rows(connection, row_key)
    if bad:
        told = ", ".join(f"{count} of {table}" for table, count in sorted(bad.items()))
        raise StoreError(f"the backup holds rows whose MAC is not theirs: {told}", "use another one: somebody has changed it")


def false_rows(connection: Connection, row_key: bytes) -> dict[str, int]:
    """How many rows of each table have a MAC that isn't theirs; tables without such rows are absent."""
    bad: dict[str, int] = {}
    for kind, table in TABLES.items():
        for row in connection.execute(select(*(table.c[name] for name in kind.__struct_fields__))):
            if not is_authentic(subject_of(kind, tuple(row)), row_key):
                bad[table.name] = bad.get(table.name, 0) + 1
    return bad


def _go_on_counting(connection: Connection) -> None:
    """Counters go on behind what was brought; watchers of keys see a change whatever they saw last."""
    connection.execute(update(installation).values(key_generation=installation.c.key_generation + 1))
    if is_postgresql(connection):
        last = connection.execute(select(func.coalesce(func.max(ledger.c.entry), 0))).scalar_one()
        if last:
            connection.execute(text("SELECT setval('ledger_entry', :last)"), {"last": last})
        number = connection.execute(select(func.coalesce(func.max(names.c.number), 0))).scalar_one()
        if number:
            connection.execute(text("SELECT setval(pg_get_serial_sequence('names', 'number'), :number)"), {"number": number})
