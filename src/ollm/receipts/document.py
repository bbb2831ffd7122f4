"""Reading a JSON document whose canonical form is signed or hashed: strictly, so that two readers can't see two documents."""

import json
from typing import Any, NoReturn

from ollm.errors import WireError

MAX_DOCUMENT = 32 << 20  # a session carries its evidence; the largest seen is below 1 MiB
MAX_DEPTH = 32  # ACI's own documents reach 4; identities are the verifier's


def parse_document(data: bytes) -> dict[str, Any]:
    """The object in `data`. Raises: WireError for anything that is not one JSON object of ACI's kind.

    Refused besides bad JSON: two members of one name (readers differ in which they keep), fractions and exponents (no canonical
    form here, ACI appendix A), NaN and Infinity, and nesting deeper than MAX_DEPTH.
    """
    if len(data) > MAX_DOCUMENT:
        raise WireError("the document is too large")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_members, parse_float=_refuse_number, parse_constant=_refuse_number)
    except (ValueError, RecursionError):  # of decoding, of JSON, of an integer with thousands of digits
        raise WireError("not a JSON document") from None
    if not isinstance(document, dict):
        raise WireError("not a JSON object")
    _check_depth(document, MAX_DEPTH)
    return document


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, (dict, list)):
        if left == 0:
            raise WireError("nested too deeply")
        for member in value.values() if isinstance(value, dict) else value:
            _check_depth(member, left - 1)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise WireError("two members of one name")
    return members


def _refuse_number(text: str) -> NoReturn:
    raise WireError("a number that is not an integer")


def text_member(document: dict[str, Any], name: str) -> str:
    """A string member. Raises: WireError."""
    value = document.get(name)
    if not isinstance(value, str):
        raise WireError(f"{name} is not a string", name)
    return value


def time_member(document: dict[str, Any], name: str) -> int:
    """A member in Unix seconds. Raises: WireError."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WireError(f"{name} is not a time in Unix seconds", name)
    return value
