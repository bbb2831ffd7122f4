"""Ledger entries as rows: the order of columns, and the statements of the hot path."""

from sqlalchemy import RowMapping
from sqlalchemy.dialects.sqlite import dialect, insert

from ollm.store.names import Names
from ollm.store.schema import LEVELS, ledger, receipts
from ollm.values.ledger import Entry, Intent, Status, lost_entry
from ollm.values.usage import COUNTS, Usage

# DO NOTHING covers this one conflict; OR IGNORE would also swallow violations of CHECKs.
INSERT_ENTRY = str(insert(ledger).on_conflict_do_nothing(index_elements=["request_id"]).compile(dialect=dialect()))
INSERT_RECEIPT = str(insert(receipts).compile(dialect=dialect()))

_LEVELS: dict[str | None, str | None] = {None: None} | {level: level for level in LEVELS}
_SAME = [name for name in Entry.__struct_fields__ if name not in ("status", "streamed", "usage", "receipt")]  # columns that are fields as they are


def row_of(number: int, entry: Entry, names: Names) -> tuple[object, ...]:
    """The values of the ledger's columns for the entry with this number. Raises: sqlite3.IntegrityError for a name that can't be one.

    Values are of the exact types that the driver binds without looking for an adapter: an enum or a bool costs it 1 µs.
    """
    usage = entry.usage
    return (
        number,
        entry.request_id,
        names.keys[entry.key_id],
        names.projects[entry.project],
        names.endpoints[entry.endpoint],
        names.models[entry.model],
        names.upstreams[entry.upstream],
        _LEVELS.get(entry.level, ""),  # "" is no level: the CHECK refuses it
        names.sessions[entry.session_id],
        entry.status.value,
        entry.http_status,
        1 if entry.streamed else 0,
        entry.started_ms,
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_long_tokens,
        usage.audio_input_tokens,
        usage.image_input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.audio_output_tokens,
        usage.image_output_tokens,
        usage.images,
        usage.audio_ms,
        usage.characters,
        1 if usage.estimated else 0,
        1 if usage.count_mismatch else 0,
        usage.tier,
        entry.cost_micro,
        entry.reserved_micro,
        names.prices[entry.price_version],
        entry.verify_us,
        entry.headers_us,
        entry.first_us,
        entry.total_us,
    )


def entry_of(row: RowMapping, receipt: bytes | None) -> Entry:
    """The entry in a row of `ledger_text`."""
    usage = Usage(
        **{count: row[count] for count in COUNTS},
        estimated=bool(row["estimated"]),
        count_mismatch=bool(row["count_mismatch"]),
        tier=row["tier"],
    )
    return Entry(
        **{name: row[name] for name in _SAME},
        status=Status(row["status"]),
        streamed=bool(row["streamed"]),
        usage=usage,
        receipt=receipt,
    )


def lost(intent: Intent) -> Entry:
    """The row of a request that the gateway didn't live to complete: where it was sent is known, its endpoint isn't."""
    return lost_entry(
        intent.request_id,
        key_id=intent.key_id,
        project=intent.project,
        endpoint="unknown",
        model=intent.model,
        upstream=intent.upstream,
        level=intent.level,
        session_id=intent.session_id,
        started_ms=intent.started_ms,
        reserved_micro=intent.reserved_micro,
    )
