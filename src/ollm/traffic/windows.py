"""Windows of the clock and of the calendar: UTC, weeks from Monday (ISO 8601), quarters from January, April, July and October.

Fixed windows, not sliding ones: what is accepted in a window is exactly its limit, and anybody can tell when the next one begins.
"""

import datetime
import functools
from typing import Literal, TypeAlias

import msgspec

from ollm.values.terms import Window

Span: TypeAlias = Literal["minute"] | Window
SPANS: tuple[Span, ...] = ("minute", "hour", "day", "week", "month", "quarter", "year")

MINUTE, HOUR, DAY = 60, 3600, 86_400
_MONDAY = 4 * DAY  # 1970-01-05 was the first Monday after the epoch
_MONTHS: dict[Span, int] = {"month": 1, "quarter": 3, "year": 12}
_LENGTHS: dict[Span, int] = {"minute": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}


class Bounds(msgspec.Struct, frozen=True):
    """A window: Unix seconds from `start` on, up to but without `end`."""

    start: int
    end: int


def window_of(span: Span, now: int) -> Bounds:
    """The window of length `span` that holds `now` (Unix seconds, not negative)."""
    length = _LENGTHS.get(span)
    if length is None:
        return _of_months(_MONTHS[span], now // DAY)
    offset = _MONDAY if span == "week" else 0
    start = now - (now - offset) % length
    return Bounds(start, start + length)


@functools.lru_cache(maxsize=64)
def _of_months(months: int, day: int) -> Bounds:
    """As `window_of`, for so many months; `day` counts from the epoch."""
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    first = (date.month - 1) // months * months  # counted from 0
    return Bounds(_seconds(date.year, first), _seconds(date.year, first + months))


def _seconds(year: int, month: int) -> int:
    """Unix seconds of the first moment of the month; `month` counts from 0, and 12 is the next January."""
    moment = datetime.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=datetime.UTC)
    return int(moment.timestamp())
