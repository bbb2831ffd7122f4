"""What is over is let go: whole days of the ledger and of receipts, once they are older than the configuration keeps them.

First it is written down from when on rows are kept; only what is older may be deleted at all (a trigger sees to that). On PostgreSQL a
day is dropped as a whole. On SQLite it is deleted in small batches, between which the gateway's writer gets its turn. Entries that are not
in the roll-ups yet are never let go, nor are the roll-ups. Verified sessions go when the last receipt that may name them has gone.
"""

import time
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine, delete, select, text, update
from sqlalchemy.exc import DatabaseError

from ollm.store.database import is_postgresql, store_error, writing
from ollm.store.partitions import DAY_MS, drop_before, first_id
from ollm.store.schema import installation, ledger, receipts, rolled, sessions

BATCH = 500  # rows: deleted in 5 to 50 ms, during which nothing else is written
PAUSE_SECONDS = 0.02  # between batches
_SESSION_SECONDS = 7 * 86_400  # sessions are kept so much longer than the receipts: a receipt may be made after its session has ended


class Kept(msgspec.Struct, frozen=True):
    """Days that rows are kept; None: for ever. Receipts never outlive their entries."""

    ledger: int | None = None
    receipts: int | None = None


class Gone(msgspec.Struct, frozen=True):
    """What was let go: rows on SQLite; on PostgreSQL days, and rows of the default partition."""

    ledger: int
    receipts: int
    sessions: int


def let_go(engine: Engine, kept: Kept, now_ms: int, *, pause: Callable[[float], None] = time.sleep) -> Gone:
    """Let go of what is over at `now_ms` (Unix milliseconds). Takes as long as it takes: not for a request's way. Raises: StoreError."""
    ledger_from = _from(kept.ledger, now_ms)
    receipts_from = max(_from(kept.receipts, now_ms), ledger_from)
    if not receipts_from:
        return Gone(0, 0, 0)
    try:
        with writing(engine).begin() as connection:
            ledger_from, receipts_from = _write_down(connection, ledger_from, receipts_from)
        if is_postgresql(engine):
            let = [drop_before(engine, table, before) for table, before in (("receipts", receipts_from), ("ledger", ledger_from))]
            let = [let[0] + _delete_strays(engine, "receipts", receipts_from), let[1] + _delete_strays(engine, "ledger", ledger_from)]
        else:
            let = [_delete_receipts(engine, receipts_from, pause), _delete_entries(engine, ledger_from, pause)]
        with writing(engine).begin() as connection:
            ended = receipts_from // 1000 - _SESSION_SECONDS
            over = connection.execute(delete(sessions).where(sessions.c.expires_at < ended)).rowcount
    except DatabaseError as error:
        raise store_error(error, "letting go of what is over") from None
    return Gone(let[1], let[0], over)


def _from(days: int | None, now_ms: int) -> int:
    """When the first day that is kept begins; 0: everything is."""
    return 0 if days is None else max(0, (now_ms // DAY_MS - days) * DAY_MS)


def _write_down(connection: Connection, ledger_from: int, receipts_from: int) -> tuple[int, int]:
    """From when on rows are kept: it never goes back."""
    row = connection.execute(select(installation.c.ledger_from_ms, installation.c.receipts_from_ms).with_for_update()).one()
    ledger_from, receipts_from = max(ledger_from, row[0]), max(receipts_from, row[1])
    connection.execute(update(installation).values(ledger_from_ms=ledger_from, receipts_from_ms=receipts_from))
    return ledger_from, receipts_from


def _delete_strays(engine: Engine, table: str, before_ms: int) -> int:
    """Rows of the default partition that are over."""
    whole = "AND entry <= (SELECT entry FROM rolled)" if table == "ledger" else ""
    with writing(engine).begin() as connection:
        statement = text(f"DELETE FROM {table}_other WHERE request_id < :before {whole}")  # noqa: S608 - names of ours
        return int(connection.execute(statement, {"before": first_id(before_ms)}).rowcount)


def _delete_receipts(engine: Engine, before_ms: int, pause: Callable[[float], None]) -> int:
    """In the order of entries, which is nearly that of time, until a whole batch is young."""
    gone, after = 0, 0
    while True:
        with writing(engine).begin() as connection:
            asked = select(receipts.c.entry, ledger.c.request_id).join(ledger, ledger.c.entry == receipts.c.entry)
            found = connection.execute(asked.where(receipts.c.entry > after).order_by(receipts.c.entry).limit(BATCH)).all()
            over = [entry for entry, request_id in found if request_id < first_id(before_ms)]
            connection.execute(delete(receipts).where(receipts.c.entry.in_(over)))
        gone += len(over)
        if not over:
            return gone
        after = found[-1][0]
        pause(PAUSE_SECONDS)


def _delete_entries(engine: Engine, before_ms: int, pause: Callable[[float], None]) -> int:
    gone = 0
    whole = ledger.c.entry <= select(rolled.c.entry).scalar_subquery()
    while True:
        with writing(engine).begin() as connection:
            asked = select(ledger.c.entry).where(ledger.c.request_id < first_id(before_ms), whole).limit(BATCH)
            over = list(connection.execute(asked).scalars())
            connection.execute(delete(ledger).where(ledger.c.entry.in_(over)))
        gone += len(over)
        if not over:
            return gone
        pause(PAUSE_SECONDS)
