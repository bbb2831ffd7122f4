"""JSON that two readers could read differently is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.strict_json import encoded, parse
from ollm.errors import EvidenceRefused


def test_a_document_is_its_value() -> None:
    assert parse(b'{"a":[1,{"b":null}]}', limit=99, check="some.check") == {"a": [1, {"b": None}]}
    assert parse('"text"', limit=6, check="some.check") == "text"


BROKEN: dict[str, bytes | str] = {
    "empty": b"",
    "cut": b"{",
    "a name twice": b'{"a":1,"a":1}',
    "a name twice when read": b'[{"b":{"a":1,"\\u0061":2}}]',
    "NaN": b"[NaN]",
    "Infinity": b"[-Infinity]",
    "no UTF-8": b"\xff",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "deep": b"[" * 50_000,
    "a number without end": b"1" * 5000,
    "half a pair": b'["\\ud800"]',
    "the other half, as a name": b'{"\\uDC00":1}',
    "half a pair, not escaped": "\ud800",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_anything_else_is_refused(kind: str) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        parse(BROKEN[kind], limit=100_000, check="some.check")
    assert refusal.value.check == "some.check"


def test_the_limit_counts_before_anything_is_read() -> None:
    with pytest.raises(EvidenceRefused, match="got 7 bytes, want at most 6"):
        parse(b'{"a":1}', limit=6, check="some.check")


def test_whole_pairs_are_characters_and_halves_are_nothing() -> None:
    assert parse(b'["\\ud83d\\ude00", "\\\\ud800"]', limit=99, check="some.check") == ["\U0001f600", "\\ud800"]
    assert encoded("é", "some.check") == "é".encode()
    with pytest.raises(EvidenceRefused):
        encoded("\ud800", "some.check")


@given(st.binary(max_size=300))
def test_only_our_refusal_escapes(data: bytes) -> None:
    try:
        value = parse(data, limit=1000, check="some.check")
    except EvidenceRefused:
        return
    assert value == json.loads(data)
