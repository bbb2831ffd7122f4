"""Ledger entries as rows: the order of columns, and the statements of the hot path."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.sqlite import dialect, insert

from ollm.store.schema import ledger, receipts
from ollm.values.ledger import Entry, Intent, Status
from ollm.values.usage import Usage

COLUMNS = tuple(column.name for column in ledger.columns)
# DO NOTHING covers this one conflict; OR IGNORE would also swallow violations of CHECKs.
INSERT_ENTRY = str(insert(ledger).on_conflict_do_nothing(index_elements=["request_id"]).compile(dialect=dialect()))
INSERT_RECEIPT = str(insert(receipts).compile(dialect=dialect()))


def row_of(number: int, entry: Entry) -> tuple[object, ...]:
    """The values of `COLUMNS` for the entry with this number."""
    usage = entry.usage
    return (
        number,
        entry.request_id,
        entry.key_id,
        entry.endpoint,
        entry.model,
        entry.upstream,
        entry.level,
        entry.session_id,
        entry.status,
        entry.http_status,
        entry.streamed,
        entry.started_ms,
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.estimated,
        entry.cost_micro,
        entry.price_version,
        entry.verify_us,
        entry.headers_us,
        entry.first_us,
        entry.total_us,
    )


def entry_of(row: Sequence[Any], receipt: bytes | None) -> Entry:
    """The entry whose `COLUMNS` are `row`."""
    value = dict(zip(COLUMNS, row, strict=True))
    return Entry(
        request_id=value["request_id"],
        key_id=value["key_id"],
        endpoint=value["endpoint"],
        model=value["model"],
        upstream=value["upstream"],
        level=value["level"],
        session_id=value["session_id"],
        status=Status(value["status"]),
        http_status=value["http_status"],
        streamed=bool(value["streamed"]),
        started_ms=value["started_ms"],
        usage=Usage(
            input_tokens=value["input_tokens"],
            cached_tokens=value["cached_tokens"],
            output_tokens=value["output_tokens"],
            reasoning_tokens=value["reasoning_tokens"],
            estimated=bool(value["estimated"]),
        ),
        cost_micro=value["cost_micro"],
        price_version=value["price_version"],
        verify_us=value["verify_us"],
        headers_us=value["headers_us"],
        first_us=value["first_us"],
        total_us=value["total_us"],
        receipt=receipt,
    )


def lost(intent: Intent) -> Entry:
    """The row of a request that the gateway didn't live to complete. What isn't known is zero, and marked as an estimate."""
    return Entry(
        request_id=intent.request_id,
        key_id=intent.key_id,
        endpoint="unknown",
        model=intent.model,
        upstream=intent.upstream,
        level=intent.level,
        session_id=intent.session_id,
        status=Status.LOST,
        http_status=0,
        streamed=False,
        started_ms=intent.started_ms,
        usage=Usage(estimated=True),
        cost_micro=None,
        price_version=None,
        verify_us=0,
        headers_us=0,
        first_us=0,
        total_us=0,
        receipt=None,
    )
