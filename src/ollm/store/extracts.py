"""The ledger, entry by entry, for exports: pages in the order of completion, without receipts."""

from typing import Any

from sqlalchemy import Connection, select

from ollm.store.schema import ledger_text

PAGE = 500  # entries in memory at once
COLUMNS = tuple(column.name for column in ledger_text.columns if column.name != "receipt")


def entries(connection: Connection, *, after: int = 0, start_ms: int = 0, end_ms: int | None = None, limit: int = PAGE) -> list[dict[str, Any]]:
    """At most `limit` entries beyond the number `after` of requests that began from `start_ms` to before `end_ms` (Unix milliseconds)."""
    query = select(*(ledger_text.c[name] for name in COLUMNS)).where(ledger_text.c.entry > after, ledger_text.c.started_ms >= start_ms)
    if end_ms is not None:
        query = query.where(ledger_text.c.started_ms < end_ms)
    return [dict(row) for row in connection.execute(query.order_by(ledger_text.c.entry).limit(limit)).mappings()]
