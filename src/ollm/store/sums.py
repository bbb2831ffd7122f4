"""Sums over requests as SQL expressions: the same over entries of the ledger, for roll-ups, and over roll-ups, for reports."""

from functools import reduce
from operator import add
from typing import Any

from sqlalchemy import ColumnElement, case, cast, func, literal

from ollm.store.database import total
from ollm.store.schema import BIGINT, LATENCIES, NAMED, NONE, SUMS, ledger, rollups
from ollm.values.ledger import Status
from ollm.values.usage import COUNTS

FIGURES = (*SUMS, *LATENCIES, "total_us_max")
LABELS = (*NAMED, "level", "tier")  # what sums can be told apart by

_ANSWERED = {
    "completed": (Status.COMPLETED,),
    "refused": (Status.REFUSED,),
    "client_gone": (Status.CLIENT_GONE,),
    "failed": (Status.UPSTREAM_FAILED, Status.LOST),
}


def start_of(width: int) -> ColumnElement[int]:
    """When the span of `width` seconds begins in which an entry's request did. Unix seconds."""
    ms = literal(width * 1000, BIGINT)
    return cast((ledger.c.started_ms - ledger.c.started_ms % ms) / literal(1000, BIGINT), BIGINT)


def labels() -> dict[str, ColumnElement[Any]]:
    """What an entry counts under; nothing unknown is NULL."""
    named: dict[str, ColumnElement[Any]] = {name: func.coalesce(ledger.c[name], 0) for name in NAMED}
    return named | {name: func.coalesce(ledger.c[name], NONE) for name in ("level", "tier")}


def figures() -> dict[str, ColumnElement[int]]:
    """The sums over entries."""
    used = reduce(add, (ledger.c[count] for count in COUNTS))
    counted: dict[str, ColumnElement[int]] = {"requests": cast(func.count(), BIGINT)}
    for name, statuses in _ANSWERED.items():
        counted[name] = total(case((ledger.c.status.in_([status.value for status in statuses]), 1), else_=0))
    counted |= {count: total(ledger.c[count]) for count in COUNTS}
    counted["estimated"] = total(ledger.c.estimated)
    counted["mismatched"] = total(ledger.c.count_mismatch)
    counted["unpriced"] = total(case((ledger.c.cost_micro.is_(None) & (used > 0), 1), else_=0))
    counted["cost_micro"] = total(ledger.c.cost_micro)
    counted |= {latency: total(ledger.c[latency]) for latency in LATENCIES}
    counted["total_us_max"] = func.coalesce(func.max(ledger.c.total_us), 0)
    return counted


def folded(column: ColumnElement[Any], name: str) -> ColumnElement[int]:
    """Sums of sums, of the figure `name`."""
    return func.coalesce(func.max(column), 0) if name == "total_us_max" else total(column)


def added(given: Any) -> dict[str, ColumnElement[int]]:
    """What a row of `rollups` becomes when the row `given` comes on top of it."""
    most = case((given.total_us_max > rollups.c.total_us_max, given.total_us_max), else_=rollups.c.total_us_max)
    return {name: rollups.c[name] + given[name] for name in (*SUMS, *LATENCIES)} | {"total_us_max": most}
