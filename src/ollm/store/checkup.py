"""What can be said about a database's health from its contents: one finding for each check, none of which changes anything."""

import sqlite3

import msgspec
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import DatabaseError

from ollm.store.database import is_postgresql, store_error, total
from ollm.store.partitions import DAY_MS, TABLES, Day, days_of, server_ms
from ollm.store.restore import false_rows
from ollm.store.schema import WIDTHS, installation, ledger, rolled, rollups


class Finding(msgspec.Struct, frozen=True):
    check: str
    ok: bool
    detail: str


def examine(engine: Engine, row_key: bytes) -> list[Finding]:
    """All findings. Reads the whole ledger. Raises: StoreError when the database can't be read."""
    asked = engine.execution_options(isolation_level="REPEATABLE READ") if is_postgresql(engine) else engine
    try:
        with asked.begin() as connection:
            findings = [_authentic(connection, row_key), _rollups(connection), _behind(connection)]
            if is_postgresql(connection):
                return [*findings, _days(connection), _strays(connection), _fsync(connection)]
            return [_integrity(connection), *findings]
    except (DatabaseError, sqlite3.Error) as error:
        raise store_error(error, "examining the database") from None


def _authentic(connection: Connection, row_key: bytes) -> Finding:
    bad = false_rows(connection, row_key)
    told = ", ".join(f"{count} of {table}" for table, count in sorted(bad.items()))
    return Finding("rows have their own MAC", not bad, told and f"{told} don't: they count as absent")


def _rollups(connection: Connection) -> Finding:
    """Sums of what is in the roll-ups equal the ledger's own, for what is kept of it."""
    kept = connection.execute(select(installation.c.ledger_from_ms)).scalar_one()
    kept += DAY_MS if kept else 0  # a request may have begun a moment after its id was made: on the other side of the border
    done = connection.execute(select(rolled.c.entry)).scalar_one()
    query = select(func.count(), total(ledger.c.cost_micro)).where(ledger.c.entry <= done, ledger.c.started_ms >= kept)
    entries = tuple(connection.execute(query).one())
    for width in WIDTHS:
        query = select(total(rollups.c.requests), total(rollups.c.cost_micro)).where(rollups.c.width == width, rollups.c.start >= kept // 1000)
        sums = tuple(connection.execute(query).one())
        if sums != entries:
            got, want = (f"{requests} requests and {cost} micro-units" for requests, cost in (sums, entries))
            return Finding("roll-ups equal the ledger", False, f"spans of {width} s have {got}, the ledger has {want}")
    return Finding("roll-ups equal the ledger", True, f"{entries[0]} requests")


def _behind(connection: Connection) -> Finding:
    done = select(rolled.c.entry).scalar_subquery()
    count = connection.execute(select(func.count()).where(ledger.c.entry > done)).scalar_one()
    return Finding("roll-ups follow", count < 1_000_000, f"{count} entries are not in them yet")


def _integrity(connection: Connection) -> Finding:
    said = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    return Finding("the file is whole", said == "ok", "" if said == "ok" else "restore a backup")


def _days(connection: Connection) -> Finding:
    today = server_ms(connection) // DAY_MS
    missing = [Day(table, today + 1).name for table in TABLES if Day(table, today + 1) not in days_of(connection, table)]
    return Finding("tomorrow has its partitions", not missing, f"missing: {', '.join(missing)}: run ollm db upgrade" if missing else "")


def _strays(connection: Connection) -> Finding:
    count = sum(connection.execute(text(f"SELECT count(*) FROM {table}_other")).scalar_one() for table in TABLES)  # noqa: S608 - names of ours
    return Finding("every row is in its day", count == 0, f"{count} rows are in none: a clock was far off" if count else "")


def _fsync(connection: Connection) -> Finding:
    on = connection.execute(text("SHOW fsync")).scalar_one() == "on"
    return Finding("the server keeps what it says it keeps", on, "" if on else "fsync is off: turn it on")
