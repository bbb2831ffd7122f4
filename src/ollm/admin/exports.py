"""Exports as CSV and JSON Lines: streamed, a page of rows in memory at a time, each piece only when the client has taken the one before.

In CSV a text that a spreadsheet would take for a formula gets an apostrophe in front. The audit log's JSON Lines are what `ollm verify audit` reads.
"""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from ollm.admin.call import Answer, Call, Stream
from ollm.admin.reporting import WIDTHS, Dimension, Sums, Wanted
from ollm.admin.usage import Span
from ollm.receipts.audit import Logged, header_line
from ollm.store import extracts
from ollm.values.usage import COUNTS

_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
_FORMULA = ("=", "+", "-", "@")  # OWASP, CSV injection
_GROUPS: tuple[Dimension, ...] = ("project", "key", "model", "upstream", "level", "tier")
_USAGE = ("start_time", *_GROUPS, "requests", "estimated", "unpriced", "cost_micro", *COUNTS)
_AUDIT = ("entry", "at", "actor", "action", "target", "project", "changes", "digest")
_DAYS_AT_ONCE = 31
_MOST_DAYS = 3660  # ten years
_encode = msgspec.json.Encoder().encode


async def export_usage(form: str, call: Call) -> Answer:
    """Usage by day (bucket_width=1h: by hour), project, key, model, upstream, level and tier; from start_time to end_time."""
    return _stream("usage", form, _table(_USAGE, _usage(call), form))


async def export_ledger(form: str, call: Call) -> Answer:
    """The ledger, an entry for each request; with start_time and end_time, of those that began then."""
    return _stream("ledger", form, _table(extracts.COLUMNS, _ledger(call), form))


async def export_audit(form: str, call: Call) -> Answer:
    """The audit log; as JSON Lines it is what `ollm verify audit` reads."""
    call.query.end()
    return _stream("audit", form, _audit_lines(call) if form == "jsonl" else _table(_AUDIT, _audit(call), form))


def _stream(what: str, form: str, pieces: AsyncIterator[bytes]) -> Stream:
    return Stream(_TYPES[form], f"{what}.{form}", pieces)


async def _table(columns: Sequence[str], pages: AsyncIterator[Sequence[Mapping[str, Any]]], form: str) -> AsyncIterator[bytes]:
    if form == "csv":
        yield csv_lines([columns])
    async for page in pages:
        if form == "csv":
            yield csv_lines([[cell(row[name]) for name in columns] for row in page])
        else:
            yield b"".join(_encode({name: row[name] for name in columns}) + b"\n" for row in page)


def csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as RFC 4180 has them."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def cell(value: Any) -> Any:
    """`value` as a spreadsheet shows it, and doesn't calculate it."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return _encode(value).decode() if isinstance(value, dict) else value


def _usage(call: Call) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """By the day, or by the hour with bucket_width=1h."""
    width = WIDTHS[call.query.one("bucket_width", ("1h", "1d")) or "1d"]
    span = Span(call.query, width, call.now, usual=_MOST_DAYS * 24, most=_MOST_DAYS * 24)
    call.query.end()

    async def pages() -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        start = span.start
        while start < span.end:
            end = min(span.end, start + _DAYS_AT_ONCE * WIDTHS["1d"])
            found = await call.admin.reports.usage(Wanted(start=start, end=end, width=width, group_by=_GROUPS))
            if found:
                yield [usage_row(sums) for sums in found]
            start = end

    return pages()


def usage_row(sums: Sums) -> dict[str, Any]:
    """One line of the usage export; grouped by all that it can be grouped by."""
    figures = {"requests": sums.requests, "estimated": sums.estimated, "unpriced": sums.unpriced, "cost_micro": sums.cost_micro}
    return {"start_time": sums.start, **dict(zip(_GROUPS, sums.group, strict=True)), **figures, **sums.counts}


def _ledger(call: Call) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    start, end = call.query.integer("start_time"), call.query.integer("end_time")
    call.query.end()

    async def page_after(after: int) -> list[dict[str, Any]]:
        return await call.read(
            lambda view: extracts.entries(view.connection, after=after, start_ms=(start or 0) * 1000, end_ms=None if end is None else end * 1000)
        )

    async def pages() -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        after = 0
        while page := await page_after(after):
            yield page
            after = page[-1]["entry"]

    return pages()


async def _audit(call: Call) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    async for entry in call.admin.store.administration.log():
        yield [{**msgspec.structs.asdict(entry.event), "digest": entry.digest}]


async def _audit_lines(call: Call) -> AsyncIterator[bytes]:
    yield header_line(call.admin.store.installation_id) + b"\n"
    async for entry in call.admin.store.administration.log():
        yield _line(entry)


def _line(entry: Logged) -> bytes:
    return entry.line() + b"\n"
