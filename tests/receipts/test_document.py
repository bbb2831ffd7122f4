"""Strict reading: what two readers could understand differently is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.receipts import document
from ollm.receipts.document import MAX_DEPTH, parse_document, text_member, time_member


def test_a_document() -> None:
    assert parse_document(' {"a": [1, -2, true, null, "ü"]}'.encode()) == {"a": [1, -2, True, None, "ü"]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"a":2}', "two members"),
        (b'{"b":{"a":1,"a":1}}', "two members"),
        (b'{"a":1,"\\u0061":1}', "two members"),
        (b'{"a":1.0}', "not an integer"),
        (b'{"a":1e2}', "not an integer"),
        (b'{"a":NaN}', "not an integer"),
        (b'{"a":-Infinity}', "not an integer"),
        (b'"text"', "not a JSON object"),
        (b"{} {}", "not a JSON document"),
        (b"\xef\xbb\xbf{}", "not a JSON document"),
        (b'{"a":"\xff"}', "not a JSON document"),
        (b'{"a":' + b"1" * 10_000 + b"}", "not a JSON document"),
        (b'{"a":' + b"[" * 200_000, "not a JSON document"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested too deeply"),
    ],
    ids=lambda value: repr(value[:16]),
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        parse_document(data)


def test_depth_up_to_the_limit_is_read() -> None:
    inner = MAX_DEPTH - 1
    assert parse_document(b'{"a":' + b"[" * inner + b"]" * inner + b"}")


def test_a_document_over_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_DOCUMENT", 8)
    with pytest.raises(WireError, match="too large"):
        parse_document(b'{"a":1234}')


@given(st.binary(max_size=80))
def test_only_our_own_error_escapes(data: bytes) -> None:
    try:
        assert isinstance(parse_document(data), dict)
    except WireError:
        pass


def test_the_error_carries_nothing_of_the_document() -> None:
    with pytest.raises(WireError) as refusal:
        parse_document(b'{"a":"canary"')
    assert "canary" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("value", [None, 5, True])
def test_a_text_member(value: object) -> None:
    assert text_member({"a": "x"}, "a") == "x"
    with pytest.raises(WireError, match="a is not a string"):
        text_member({"a": value}, "a")


@pytest.mark.parametrize("value", [None, "5", True, -1])
def test_a_time_member(value: object) -> None:
    assert time_member({"a": 5}, "a") == 5
    with pytest.raises(WireError, match="a is not a time"):
        time_member({"a": value}, "a")
