"""JSON from a peer, parsed so that no two readers can disagree about it."""

import json
from typing import Any, NoReturn

from ollm.errors import EvidenceRefused


def parse(data: bytes | str, *, limit: int, check: str) -> Any:
    """The value of `data`: UTF-8, at most `limit` bytes, no member name twice, no NaN or Infinity.

    Raises: EvidenceRefused naming `check`.
    """
    if len(data) > limit:
        raise EvidenceRefused(check, f"{len(data)} bytes", f"at most {limit}")
    try:
        # Decoded here, because json.loads would guess UTF-16 and UTF-32 from bytes.
        text = data.decode() if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    except _Duplicate:
        raise EvidenceRefused(check, "a member name twice", "each member once") from None
    except (ValueError, RecursionError):
        raise EvidenceRefused(check, "bytes that are no JSON", "a JSON document in UTF-8") from None


def encoded(text: str, check: str) -> bytes:
    """UTF-8 of a string that came from JSON. Raises: EvidenceRefused for a lone surrogate, which JSON can smuggle in."""
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
