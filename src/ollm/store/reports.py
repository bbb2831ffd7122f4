"""Usage and costs over a span of time: from roll-ups, and from those entries of the ledger that are not in them yet, in one snapshot.

Requests count in the span in which they began. By the minute, the ledger itself is asked, over a bounded span. What was spent is in the
same sums: costs are usage, told in micro-units.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, func, or_, select, union_all
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.database import is_postgresql, store_error, total
from ollm.store.partitions import first_id
from ollm.store.schema import NAMED, NONE, key_uses, ledger, names, rolled, rollups
from ollm.store.sums import FIGURES, figures, folded, labels, start_of

Bucket = Literal["1m", "1h", "1d"]
Label = Literal["project", "key", "model", "upstream", "endpoint", "level", "tier"]
SECONDS: dict[Bucket, int] = {"1m": 60, "1h": 3600, "1d": 86_400}
MOST_BUCKETS = 1440  # of one page
MOST_MINUTES = 1440  # of one question by the minute: a day
_SLACK_MS = 3_600_000  # a request's id and its start are of the same moment, give or take; an hour covers clocks that are set in between
_NAMES_AT_ONCE = 1000  # parameters of one statement
T = TypeVar("T")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `start` and `end` are Unix seconds, the second exclusive, both on the border of a bucket."""

    start: int
    end: int
    bucket: Bucket = "1d"
    group_by: tuple[Label, ...] = ()
    filters: Mapping[Label, Sequence[str]] = {}  # for each label that is here, one of these
    buckets: int = 31  # most buckets of one page


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the requests of one bucket and one group. A label is None where it isn't asked for, or isn't known."""

    start: int  # Unix seconds
    project: str | None = None
    key: str | None = None
    model: str | None = None
    upstream: str | None = None
    endpoint: str | None = None
    level: str | None = None
    tier: str | None = None
    requests: int
    completed: int
    refused: int
    client_gone: int
    failed: int  # by the upstream, or lost with the gateway
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cache_write_long_tokens: int
    audio_input_tokens: int
    image_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_output_tokens: int
    image_output_tokens: int
    images: int
    audio_ms: int
    characters: int
    estimated: int  # requests whose provider gave no count
    mismatched: int  # requests whose provider's total isn't the sum of its parts
    unpriced: int  # requests that used something whose price isn't known
    cost_micro: int  # of the others
    verify_us: int
    headers_us: int
    first_us: int
    total_us: int
    total_us_max: int


class Page(msgspec.Struct, frozen=True):
    """Rows in the order of time; `next_start` is where the next page begins, None after the last one."""

    rows: tuple[Sums, ...]
    next_start: int | None


class Scope(msgspec.Struct, frozen=True):
    """Whose requests: those of these keys, or of these projects (an organisation is its projects). Both absent: all."""

    keys: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None


class Reports:
    """Questions about what was used. Each runs on a thread, in a transaction of its own. All raise StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def usage(self, question: Question) -> Page:
        """Sums for each bucket that has requests, and each group in it. Raises: StoreError also for a question that has no answer."""
        _check(question)
        end = min(question.end, question.start + question.buckets * SECONDS[question.bucket])
        rows = await self._ask(lambda connection: _usage(connection, question, end))
        return Page(tuple(rows), end if end < question.end else None)

    async def spent(self, scope: Scope, start_ms: int, end_ms: int) -> int:
        """Micro-units for requests of `scope` that began from `start_ms` to before `end_ms`, both full hours. Unknown prices count 0."""
        if start_ms % 3_600_000 or end_ms % 3_600_000:
            raise StoreError("what was spent is asked for by full hours", "use the borders of a budget's window")
        return await self._ask(lambda connection: _spent(connection, scope, start_ms // 1000, end_ms // 1000))

    async def last_uses(self) -> dict[str, int]:
        """Key → when its last request began, Unix milliseconds; keys without requests are absent."""
        return await self._ask(_last_uses)

    async def behind(self) -> int:
        """Entries that are not in the roll-ups yet."""
        return await self._ask(lambda connection: int(connection.execute(select(func.count()).where(_tail(connection))).scalar_one()))

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        def asked() -> T:
            engine = self._engine.execution_options(isolation_level="REPEATABLE READ") if is_postgresql(self._engine) else self._engine
            try:
                with engine.begin() as connection:  # one snapshot: an entry is in the sums or in the tail
                    return question(connection)
            except DatabaseError as error:
                raise store_error(error, "reading the usage") from None

        return await asyncio.to_thread(asked)


def _check(question: Question) -> None:
    width = SECONDS[question.bucket]
    if question.start % width or question.end % width or question.start >= question.end:
        raise StoreError("a report begins and ends at borders of its buckets, in that order", f"use multiples of {width} seconds")
    if not 1 <= question.buckets <= MOST_BUCKETS:
        raise StoreError(f"a page has 1 to {MOST_BUCKETS} buckets")
    if question.bucket == "1m" and question.end - question.start > MOST_MINUTES * 60:
        raise StoreError("a report by the minute covers a day at most", "ask by the hour, or for less")


def _tail(connection: Connection) -> ColumnElement[bool]:
    """That an entry is not in the roll-ups. The number is asked for first: PostgreSQL would plan for a third of the ledger otherwise."""
    return ledger.c.entry > int(connection.execute(select(rolled.c.entry)).scalar_one())


def _usage(connection: Connection, question: Question, end: int) -> list[Sums]:
    width = SECONDS[question.bucket]
    wanted = [_filter(name, given) for name, given in question.filters.items()]
    parts = [_entries(connection, question, end)]
    if question.bucket != "1m":
        groups = [rollups.c.start, *(rollups.c[name] for name in question.group_by)]
        span = (rollups.c.width == width, rollups.c.start >= question.start, rollups.c.start < end)
        sums = (folded(rollups.c[name], name).label(name) for name in FIGURES)
        parts.append(select(*groups, *sums).where(*span, *(each(rollups) for each in wanted)).group_by(*groups))
    both = union_all(*parts).subquery()
    keys = [both.c.start, *(both.c[name] for name in question.group_by)]
    summed = select(*keys, *(folded(both.c[name], name).label(name) for name in FIGURES)).group_by(*keys)
    return _told(connection, summed, question.group_by)


def _entries(connection: Connection, question: Question, end: int) -> Select[Any]:
    """Sums over entries: of those in no roll-up, or by the minute of all."""
    start, named = start_of(SECONDS[question.bucket]), labels()
    groups = [named[name].label(name) for name in question.group_by]
    conditions = [ledger.c.started_ms >= question.start * 1000, ledger.c.started_ms < end * 1000]
    if question.bucket == "1m":
        first, last = max(0, question.start * 1000 - _SLACK_MS), end * 1000 + _SLACK_MS
        conditions += [ledger.c.request_id >= first_id(first), ledger.c.request_id < first_id(last)]
    else:
        conditions.append(_tail(connection))
    conditions += [_filter(name, given)(ledger) for name, given in question.filters.items()]
    query = select(start.label("start"), *groups, *(column.label(name) for name, column in figures().items()))
    return query.where(*conditions).group_by(start, *(named[name] for name in question.group_by))


def _filter(name: Label, given: Sequence[str]) -> Callable[[Any], ColumnElement[bool]]:
    """That a row's label is one of those."""

    def condition(table: Any) -> ColumnElement[bool]:
        if name in NAMED:
            wanted = select(names.c.number).where(names.c.kind == name, names.c.name.in_(given))
            return cast("ColumnElement[bool]", table.c[name].in_(wanted))
        return cast("ColumnElement[bool]", table.c[name].in_(given))

    return condition


def _told(connection: Connection, summed: Select[Any], group_by: tuple[Label, ...]) -> list[Sums]:
    """Rows with names in place of numbers, in the order of time, most requests first."""
    rows = [tuple(row) for row in connection.execute(summed)]
    numbers = {row[at] for row in rows for at, name in enumerate(group_by, 1) if name in NAMED}
    known = _names_of(connection, numbers)
    width = len(group_by) + 1
    told = []
    for row in rows:
        words = [known.get(value) if name in NAMED else None if value == NONE else value for name, value in zip(group_by, row[1:], strict=False)]
        told.append(Sums(start=row[0], **dict(zip(group_by, words, strict=True)), **dict(zip(FIGURES, row[width:], strict=True))))
    told.sort(key=lambda sums: (sums.start, -sums.requests, *(getattr(sums, name) or "" for name in group_by)))
    return told


def _names_of(connection: Connection, numbers: set[int]) -> dict[int, str]:
    known: dict[int, str] = {}
    wanted = sorted(numbers)
    for at in range(0, len(wanted), _NAMES_AT_ONCE):
        query = select(names.c.number, names.c.name).where(names.c.number.in_(wanted[at : at + _NAMES_AT_ONCE]))
        known.update({row.number: row.name for row in connection.execute(query)})
    return known


def _spent(connection: Connection, scope: Scope, start: int, end: int) -> int:
    day = 86_400
    first_day, last_day = -(-start // day) * day, end // day * day
    spans = and_(rollups.c.width == 3600, rollups.c.start >= start, rollups.c.start < end)
    if first_day < last_day:  # whole days by the day, what is left of them by the hour
        edges = or_(and_(rollups.c.start >= start, rollups.c.start < first_day), and_(rollups.c.start >= last_day, rollups.c.start < end))
        days = and_(rollups.c.width == day, rollups.c.start >= first_day, rollups.c.start < last_day)
        spans = or_(days, and_(rollups.c.width == 3600, edges))
    summed = connection.execute(select(total(rollups.c.cost_micro)).where(spans, *_of(scope, rollups))).scalar_one()
    began = (ledger.c.started_ms >= start * 1000, ledger.c.started_ms < end * 1000)
    tail = connection.execute(select(total(ledger.c.cost_micro)).where(_tail(connection), *began, *_of(scope, ledger))).scalar_one()
    return int(summed) + int(tail)


def _of(scope: Scope, table: Any) -> list[ColumnElement[bool]]:
    given: dict[Label, tuple[str, ...] | None] = {"key": scope.keys, "project": scope.projects}
    return [_filter(name, wanted)(table) for name, wanted in given.items() if wanted is not None]


def _last_uses(connection: Connection) -> dict[str, int]:
    tail = select(ledger.c.key, func.max(ledger.c.started_ms).label("last_ms")).where(_tail(connection)).group_by(ledger.c.key)
    both = union_all(select(key_uses.c.key, key_uses.c.last_ms), tail).subquery()
    query = select(names.c.name, func.max(both.c.last_ms)).join(both, both.c.key == names.c.number).group_by(names.c.name)
    return {name: int(last) for name, last in connection.execute(query)}
