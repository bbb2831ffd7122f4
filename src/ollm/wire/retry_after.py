"""How long a provider asks to be left alone: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110 §10.2.3)."""

import email.utils
import re

_LONGEST = 366 * 86_400.0  # more is nonsense
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def pause_of(seconds_or_date: str, milliseconds: str, now: int) -> float | None:
    """Seconds from `now` (Unix seconds); None where neither says anything that can be read. Milliseconds are the more exact word."""
    if not (seconds_or_date or milliseconds):
        return None
    if _NUMBER.fullmatch(milliseconds):
        return min(float(milliseconds) / 1000, _LONGEST)
    if _NUMBER.fullmatch(seconds_or_date):
        return min(float(seconds_or_date), _LONGEST)
    try:
        at = email.utils.parsedate_to_datetime(seconds_or_date)
        return min(max(0.0, at.timestamp() - now), _LONGEST) if at.tzinfo is not None else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
