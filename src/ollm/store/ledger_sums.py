"""Sums over the ledger by time and by what requests were for: one statement, from the ledger itself."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Integer, Select, and_, case, cast, func, select
from sqlalchemy.exc import DatabaseError

from ollm.store.database import store_error
from ollm.store.schema import ledger, names
from ollm.values.ledger import Status
from ollm.values.usage import COUNTS

NAMED = {"project": ledger.c.project, "key": ledger.c.key, "model": ledger.c.model, "upstream": ledger.c.upstream, "endpoint": ledger.c.endpoint}
PLAIN = {"level": ledger.c.level, "tier": ledger.c.tier}


class SumRow(NamedTuple):
    """One group in one bucket."""

    start: int  # Unix seconds
    group: tuple[str | None, ...]
    requests: int
    estimated: int
    unpriced: int
    cost_micro: int
    counts: dict[str, int]


class SqlSums:
    """Reads sums. Requests that were refused before anything left count for nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def usage(self, start: int, end: int, width: int, group_by: Sequence[str], only: Mapping[str, Sequence[str]]) -> list[SumRow]:
        """Sums of requests that began from `start` to `end` (Unix seconds) in buckets of `width` seconds, by bucket and group.

        `group_by` and `only`: names of NAMED and PLAIN. Raises: StoreError.
        """
        query = _query(start, end, width, group_by, only)
        return await asyncio.to_thread(self._rows, query, width, len(group_by))

    async def last_used(self) -> dict[str, int]:
        """Key id → when its last request began, in Unix seconds. Raises: StoreError."""
        query = select(names.c.name, func.max(ledger.c.started_ms)).join_from(ledger, names, names.c.number == ledger.c.key).group_by(names.c.name)
        return {name: int(at) // 1000 for name, at in await asyncio.to_thread(self._run, query)}

    def _rows(self, query: Select[Any], width: int, groups: int) -> list[SumRow]:
        found = []
        for row in self._run(query):
            figures = [int(value or 0) for value in row[1 + groups :]]
            counts = dict(zip(COUNTS, figures[4:], strict=True))
            found.append(SumRow(int(row[0]) * width, tuple(row[1 : 1 + groups]), *figures[:4], counts))
        return found

    def _run(self, query: Select[Any]) -> Sequence[Any]:
        try:
            with self._engine.begin() as connection:
                return connection.execute(query).all()
        except DatabaseError as error:
            raise store_error(error, "summing the ledger") from None


def _query(start: int, end: int, width: int, group_by: Sequence[str], only: Mapping[str, Sequence[str]]) -> Select[Any]:
    bucket = cast(func.floor(ledger.c.started_ms / (width * 1000)), Integer)
    groups = [_shown(name) for name in group_by]
    used = _any_used()
    query = select(
        bucket,
        *groups,
        func.count(),
        func.sum(ledger.c.estimated),
        func.sum(case((and_(ledger.c.cost_micro.is_(None), used), 1), else_=0)),
        func.coalesce(func.sum(ledger.c.cost_micro), 0),
        *(func.sum(ledger.c[count]) for count in COUNTS),
    ).where(ledger.c.started_ms >= start * 1000, ledger.c.started_ms < end * 1000, ledger.c.status != Status.REFUSED.value)
    for name, values in only.items():
        query = query.where(_shown(name).in_(values))
    keys = [bucket, *groups]
    return query.group_by(*keys).order_by(*keys)


def _shown(name: str) -> ColumnElement[str]:
    """A dimension as text: what a number of the ledger's stands for."""
    if name in PLAIN:
        return PLAIN[name]
    return select(names.c.name).where(names.c.number == NAMED[name]).scalar_subquery()


def _any_used() -> ColumnElement[bool]:
    total = ledger.c[COUNTS[0]]
    for count in COUNTS[1:]:
        total = total + ledger.c[count]
    return total > 0
