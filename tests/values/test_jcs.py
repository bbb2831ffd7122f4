"""The canonical form: RFC 8785's rules on the subset that ACI uses, and refusal of the rest."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.values.jcs import canonical


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        # §3.2.2.1: literals
        (None, b"null"),
        ([True, False], b"[true,false]"),
        # §3.2.1: no whitespace; §3.2.3: members sorted, arrays in their order, recursively
        ({"b": [2, 1], "a": {"d": None, "c": 0}}, b'{"a":{"c":0,"d":null},"b":[2,1]}'),
        ({"aa": 1, "a": 2, "B": 3, "_": 4, "1": 5, "": 6}, b'{"":6,"1":5,"B":3,"_":4,"a":2,"aa":1}'),
        ({}, b"{}"),
        ((), b"[]"),
        # §3.2.2.3: integers as ECMAScript writes them, exact up to 2^53-1
        ([0, -0, 1, -1, 9007199254740991, -9007199254740991], b"[0,0,1,-1,9007199254740991,-9007199254740991]"),
        # §3.2.2.2: two-character escapes where JSON has one, \u00xx in lowercase for the other controls, nothing else escaped
        ("\b\t\n\f\r", rb'"\b\t\n\f\r"'),
        ("\x00\x0b\x0e\x1f", rb'"\u0000\u000b\u000e\u001f"'),
        ("\"\\/'<>&\x7f", b'"\\"\\\\/\'<>&\x7f"'),
        ("€ä\u2028\U0001f600", '"€ä\u2028\U0001f600"'.encode()),
        ("e\u0301", b'"e\xcc\x81"'),  # no Unicode normalisation (§3.1)
    ],
    ids=repr,
)
def test_examples(value: Any, encoded: bytes) -> None:
    assert canonical(value) == encoded


@pytest.mark.parametrize("value", [0.0, 1.5, float("nan"), float("inf"), 2**53, -(2**53), 10**400], ids=repr)
def test_numbers_that_json_can_not_hold_exactly_are_refused(value: Any) -> None:
    with pytest.raises(WireError):
        canonical({"a": [value]})


@pytest.mark.parametrize("value", [{1: "a"}, {"ä": 1}, {"\U0001f600": 1}, {None: 1}, {True: 1}], ids=repr)
def test_names_that_are_not_ascii_strings_are_refused(value: Any) -> None:
    with pytest.raises(WireError):
        canonical([value])


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", {"a": "\udc00\ud800"}], ids=ascii)
def test_lone_surrogates_are_refused(value: Any) -> None:
    with pytest.raises(WireError) as refusal:
        canonical(value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("value", [b"bytes", {1}, object(), 1j], ids=repr)
def test_values_that_json_does_not_have_are_refused(value: Any) -> None:
    with pytest.raises(WireError):
        canonical(value)


scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
names = st.text(st.characters(max_codepoint=127))
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12)


@given(documents)
def test_reading_it_gives_the_value_back_and_writing_it_again_the_bytes(value: Any) -> None:
    encoded = canonical(value)
    assert json.loads(encoded) == value
    assert canonical(json.loads(encoded)) == encoded


@given(st.dictionaries(names, scalars, max_size=6))
def test_the_order_of_members_does_not_matter(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)
