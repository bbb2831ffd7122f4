"""CBOR in one spelling: what is decoded is what a general decoder finds, and what a document never has is refused."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.nitro import cbor
from ollm.errors import EvidenceRefused
from tests.attest.service import refused_check


def refused(got: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == "some.check" and got in error.got)


integers = st.integers(-(1 << 64), (1 << 64) - 1)
scalars = integers | st.binary(max_size=300) | st.text(max_size=300) | st.none()
items = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=30) | st.dictionaries(integers | st.text(max_size=30), inner, max_size=30), max_leaves=12
)


def depth(value: object) -> int:
    entries = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return max((1 + depth(entry) for entry in entries), default=0)


@given(items.filter(lambda value: depth(value) <= 4))
def test_what_another_encoder_wrote_is_read_back(value: object) -> None:
    assert cbor.decode(cbor2.dumps(value), "some.check") == value


@given(st.binary(max_size=200))
def test_only_our_refusal_escapes_and_what_is_read_has_one_spelling(data: bytes) -> None:
    read: list[object] = []
    check = refused_check(lambda: read.append(cbor.decode(data, "some.check")))
    assert (check == "some.check") if not read else cbor2.dumps(read[0]) == data
    assert refused_check(lambda: cbor.decode(data, "some.check", indefinite=True)) in (None, "some.check")


@pytest.mark.parametrize(
    ("got", "data"),
    [
        ("ends before", ""),
        ("ends before", "5b7fffffffffffffff"),  # a byte string that claims 2^63 bytes
        ("ends before", "9b000000ffffffffff"),  # an array that claims 2^40 entries
        ("after the CBOR item", "0000"),
        ("not the shortest", "1817"),
        ("not the shortest", "1900ff"),
        ("not the shortest", "1a0000ffff"),
        ("not the shortest", "1b00000000ffffffff"),
        ("not the shortest", "580161"),
        ("reserved length 28", "1c"),
        ("reserved length 30", "5e"),
        ("indefinite length", "1f"),
        ("indefinite length", "5f4161ff"),
        ("indefinite length", "9f00ff"),
        ("indefinite length", "bfff"),
        ("major type 6", "c100"),
        ("major type 6", "c4821b7fffffffffffffff01"),  # a decimal fraction with an exponent of 2^63
        ("major type 6", "d8236128"),  # a regular expression
        ("major type 7", "f5"),  # true
        ("major type 7", "f7"),  # undefined
        ("major type 7", "f93c00"),  # 1.0
        ("major type 7", "ff"),  # a break where none belongs
        ("a key twice", "a201020103"),
        ("a key twice", "a1410000"),  # a byte string as key
        ("no UTF-8", "62c328"),
        ("deeper than 4", "81" * 5 + "00"),
        ("deeper than 4", "81" * 20_000),
    ],
)
def test_another_spelling_or_kind_is_refused(got: str, data: str) -> None:
    with refused(got):
        cbor.decode(bytes.fromhex(data), "some.check")


def test_containers_of_indefinite_length_are_read_where_they_may_be() -> None:
    assert cbor.decode(bytes.fromhex("bf019f0203ff61618104ff"), "some.check", indefinite=True) == {1: [2, 3], "a": [4]}
    assert cbor.decode(bytes.fromhex("9fff"), "some.check", indefinite=True) == []
    for data, got in (("9f00", "ends before"), ("bf00ff", "major type 7"), ("5f4161ff", "indefinite length"), ("bf00010002ff", "a key twice")):
        with refused(got):
            cbor.decode(bytes.fromhex(data), "some.check", indefinite=True)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_the_head_of_a_byte_string_is_the_usual_one(size: int) -> None:
    assert cbor.bytes_head(size) == cbor2.dumps(bytes(size))[: -size or None]
