"""Messages of Protocol Buffers: what the format defines is read, and nothing beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.services.privatemode.protobuf import Message
from ollm.errors import EvidenceRefused
from ollm.testing.mint.contrast import field, varint


def read(data: bytes, repeated: int = 0) -> Message:
    return Message(data, "a.check", "a thing", repeated=repeated)


def refused(data: bytes) -> str:
    with pytest.raises(EvidenceRefused) as problem:
        read(data)
    assert problem.value.check == "a.check" and problem.value.got.endswith("in a thing")
    return problem.value.got


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**29 - 1))
def test_numbers(value: int, number: int) -> None:
    message = read(field(number, value))
    assert message.number(number, 8) == value
    assert (number in message) == bool(value)  # zeros are left out


@given(st.binary(max_size=300))
def test_bytes(value: bytes) -> None:
    message = read(field(3, value))
    assert (message.rest(3), message.octets(3, len(value))) == (value, value)


def test_a_vector_of_the_formats_documentation() -> None:
    assert read(bytes.fromhex("089601")).number(1, 2) == 150
    assert read(bytes.fromhex("120774657374696e67")).rest(2) == b"testing"
    assert read(bytes.fromhex("1a03089601")).message(3, "inner").number(1, 2) == 150


def test_fixed_sizes_are_skipped_over_as_bytes() -> None:
    message = read(b"\x09" + b"12345678" + b"\x15" + b"1234" + field(3, 7))
    assert (message.rest(1), message.rest(2), message.number(3, 1)) == (b"12345678", b"1234", 7)


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (field(1, 5) + field(1, 5), "field 1 twice"),
        (b"\x00\x01", "field 0 twice, or without a number"),
        (b"\x0b", "a field of type 3"),
        (b"\x0a\x05abc", "a field that is cut off"),
        (b"\x09abc", "a field that is cut off"),
        (b"\x08", "a number that is cut off"),
        (b"\x08\xff", "a number that is cut off"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "or too large"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "or too large"),
    ],
)
def test_bytes_that_are_no_message(data: bytes, got: str) -> None:
    assert got in refused(data)


def test_a_field_of_another_kind_or_size_is_refused() -> None:
    message = read(field(1, 300) + field(2, b"ab"))
    assert message.is_number(1) and not message.is_number(2) and not message.is_number(3)
    for wrong in (
        lambda: message.number(1, 1),
        lambda: message.number(2, 4),
        lambda: message.rest(1),
        lambda: message.octets(2, 3),
        lambda: message.octets(3, 1),
        lambda: message.message(3, "inner"),
        lambda: message.only(range(1, 2)),
    ):
        with pytest.raises(EvidenceRefused):
            wrong()
    message.only(range(1, 3))


def test_a_repeated_field() -> None:
    message = read(field(7, b"ab") + field(1, 1) + field(7, b"cd"), repeated=7)
    assert message.several(2, 2) == (b"ab", b"cd")
    for count, size in ((1, 2), (2, 1), (3, 2)):
        with pytest.raises(EvidenceRefused):
            message.several(count, size)
    with pytest.raises(EvidenceRefused):
        read(field(7, 5), repeated=7)
    assert varint(300) == b"\xac\x02"
