"""JSON Canonicalization Scheme (RFC 8785) for the documents that OLLM signs or hashes.

ACI documents hold ASCII member names, strings, integers, booleans, null, arrays and objects (ACI appendix A). For these
JCS is compact JSON with members sorted by UTF-16 code units; floats are refused rather than formatted.
"""

import json
from typing import Any

from ollm.errors import WireError

_SAFE = 2**53 - 1  # RFC 8785 §3.2.2.3: integers beyond this are not exact in JSON


def canonical(value: Any) -> bytes:
    """JCS bytes of `value`.

    Raises: WireError for a float, an integer beyond 2^53-1, a member name that is no ASCII string, or a lone surrogate.
    """
    _check(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise WireError("lone surrogate in a canonical document") from None


def _check(value: Any) -> None:
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int):
        if abs(value) > _SAFE:
            raise WireError("integer beyond 2^53-1 in a canonical document")
    elif isinstance(value, dict):
        for name, member in value.items():
            # Sorting by code points equals sorting by UTF-16 units only below U+10000; ACI's names are ASCII.
            if not isinstance(name, str) or not name.isascii():
                raise WireError("member name that is not ASCII in a canonical document")
            _check(member)
    elif isinstance(value, (list, tuple)):
        for member in value:
            _check(member)
    else:
        raise WireError("value without a canonical form")
