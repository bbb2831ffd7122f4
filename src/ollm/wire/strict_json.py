"""JSON that has one reading only: RFC 8259, narrowed to what every parser on the way understands alike.

Two parsers that disagree about a body let a caller show the gateway one request and the provider another. So a body is
refused when it has a duplicate member at any depth, bytes that are not UTF-8, a BOM, a lone surrogate, NaN or Infinity,
numbers or nestings that some parsers round or refuse. Values are then handed on byte for byte.

Two C parsers share the work: the standard library's sees every object's members (duplicates), msgspec's cuts the top
level into raw values and refuses control characters, bad escapes and lone surrogates. What either refuses is refused.
"""

import json
import re
from itertools import islice
from typing import Any

import msgspec

from ollm.errors import WireError

MAX_DEPTH = 128  # tool schemas nest some 20 deep
MAX_DIGITS = 308  # characters of one number; a double's largest exponent, far above any sampling parameter
MAX_VALUES = 100_000  # members and elements in all: bounds the time that one body can take (about 0.1 s)
_SPACE = " \t\n\r"  # RFC 8259 §2
_SMALL = 64 * 1024  # bytes; cannot hold MAX_VALUES, and counting brackets in more costs more than keeping accounts
_TOKEN = re.compile(rb'[,\[{]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive, and the closing quote optional: linear on every input

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_object(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level members of the JSON object `body`, each value as its exact bytes.

    Raises: WireError, with a fixed text that never quotes the body.
    """
    try:
        text = body.decode()
        # Small, and with too few brackets to nest too deeply, even if none of them stands inside a string: no accounts needed.
        if len(body) <= _SMALL and len(body.split(b"{", MAX_DEPTH)) + len(body.split(b"[", MAX_DEPTH)) <= MAX_DEPTH:
            _decode(text)
        else:
            _bound_values(body)
            _Accountant().decode(text)
        return _raw(body)
    except RecursionError:
        raise WireError("the JSON body is nested too deeply") from None
    except (ValueError, msgspec.MsgspecError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise WireError("the body is not one valid JSON object in UTF-8") from None


def _bound_values(body: bytes) -> None:
    """Refuse, before it is built in memory, what takes some 30 times its size there: `[[],[],[],…`.

    A value has at most three tokens: what separates it from the one before, its name, and itself if it is a string.
    """
    if not _more_than(MAX_VALUES, b"[{,", body):
        return
    if sum(1 for _ in islice(_TOKEN.finditer(body), 3 * MAX_VALUES + 1)) > 3 * MAX_VALUES:
        raise WireError("the JSON body has too many values")


def _more_than(limit: int, marks: bytes, body: bytes) -> bool:
    """Whether `body` has more than `limit` bytes that are one of `marks`.

    In long texts such bytes are rare, and `find` passes over the others many times faster than `count`.
    """
    for mark in marks:
        at = body.find(mark)
        while at >= 0:
            limit -= 1
            if limit < 0:
                return True
            at = body.find(mark, at + 1)
    return False


def _members(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise WireError("the JSON body has a duplicate member")


def _number(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise WireError("the JSON body has a number that is too long")


def _constant(text: str) -> None:
    raise WireError("the JSON body has a number that is not finite")


_value = json.JSONDecoder(object_pairs_hook=_members, parse_int=_number, parse_float=_number, parse_constant=_constant).raw_decode


def _decode(text: str) -> None:
    """As `JSONDecoder.decode`, whose patterns for white space cost more than small bodies. Raises: ValueError."""
    text = text.strip(_SPACE)
    if _value(text)[1] != len(text):
        raise ValueError


class _Accountant:
    """Checks large bodies: as above, and counts values and depth exactly.

    Each object is handed over as its depth (an int; no other value parses to an int here), innermost first.
    """

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def decode(self, text: str) -> None:
        decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_int=self._number, parse_float=self._number, parse_constant=_constant)
        self._depth(decoder.decode(text))

    def _spend(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise WireError("the JSON body has too many values")

    def _number(self, text: str) -> None:
        self._spend(1)
        _number(text)

    def _object(self, pairs: list[tuple[str, Any]]) -> int:
        self._spend(1 + len(pairs))
        _members(pairs)
        depth = 1 + max((self._depth(value) for _, value in pairs), default=0)
        return self._bounded(depth)

    def _depth(self, value: Any) -> int:
        if type(value) is int:
            return value
        if type(value) is not list:
            return 0
        self._spend(len(value))
        return self._bounded(1 + max(map(self._depth, value), default=0))

    def _bounded(self, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise WireError("the JSON body is nested too deeply")
        return depth
