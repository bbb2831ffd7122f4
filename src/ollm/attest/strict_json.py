"""JSON from a peer, parsed so that no two readers can disagree about it."""

import json
import re
from typing import Any, NoReturn

from ollm.errors import EvidenceRefused

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that may be half of a pair


def parse(data: bytes | str, *, limit: int, check: str) -> Any:
    """The value of `data`: UTF-8, at most `limit` bytes, no member name twice, no NaN or Infinity, no lone surrogate.

    Raises: EvidenceRefused naming `check`.
    """
    raw = data if isinstance(data, bytes) else encoded(data, check)
    if len(raw) > limit:
        raise EvidenceRefused(check, f"{len(raw)} bytes", f"at most {limit}")
    try:
        # Decoded here, because json.loads would guess UTF-16 and UTF-32 from bytes.
        text = raw.decode()
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # fails where a lone surrogate was smuggled in
        return value
    except _Duplicate:
        raise EvidenceRefused(check, "a member name twice", "each member once") from None
    except (ValueError, RecursionError):
        raise EvidenceRefused(check, "bytes that are no JSON", "a JSON document in UTF-8") from None


def encoded(text: str, check: str) -> bytes:
    """UTF-8 of `text`. Raises: EvidenceRefused naming `check` for a lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EvidenceRefused(check, "text with a lone surrogate", "text that UTF-8 can carry") from None


class _Duplicate(ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Duplicate
    return members


def _no_constant(_: str) -> NoReturn:
    raise ValueError
