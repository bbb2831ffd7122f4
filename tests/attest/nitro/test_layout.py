"""Bytes of a Nitro document to fields: every field has its kind and size, and what nobody signs has one spelling."""

import hashlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.nitro.layout import MAX_DOCUMENT, NitroDocument, parse
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nitro import INSTANCE, MODULE_ID, PCRS, create_hypervisor
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

HYPERVISOR = create_hypervisor(NOW)
PLAIN = HYPERVISOR.document(NOW, nonce=b"nonce", user_data=b"data", public_key=b"key")


def refusal(data: bytes) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as raised:
        parse(data)
    return raised.value


def test_fields() -> None:
    document = parse(PLAIN)

    assert document == NitroDocument(
        module_id=MODULE_ID,
        timestamp_ms=NOW * 1000 + 136,
        pcrs=dict(PCRS),
        certificate=HYPERVISOR.enclave.der,
        cabundle=tuple(authority.der for authority in HYPERVISOR.authorities),
        public_key=b"key",
        user_data=b"data",
        nonce=b"nonce",
        signed=document.signed,
        signature=PLAIN[-96:],
    )
    assert document.instance == INSTANCE
    assert document.identity == hashlib.sha256(document.signed).hexdigest()


def test_what_is_signed_is_the_structure_of_the_standard() -> None:
    protected, _, payload, _ = cbor2.loads(PLAIN)
    assert parse(PLAIN).signed == cbor2.dumps(["Signature1", protected, b"", payload])


def test_the_tag_is_optional_and_no_part_of_the_identity() -> None:
    assert parse(HYPERVISOR.document(NOW, tagged=True)).identity == parse(HYPERVISOR.document(NOW)).identity


def test_optional_fields_may_be_absent_and_the_payload_of_indefinite_length() -> None:
    def without(fields: dict[str, Any]) -> None:
        for name in ("public_key", "user_data", "nonce"):
            del fields[name]

    document = parse(HYPERVISOR.document(NOW, bend=without))
    assert (document.public_key, document.user_data, document.nonce) == (None, None, None)
    payload = cbor2.loads(PLAIN)[2]
    assert parse(HYPERVISOR.sign(b"\xbf" + payload[1:] + b"\xff")).pcrs == dict(PCRS)


SPELLINGS = {
    "empty": b"",
    "larger than any document": PLAIN + bytes(MAX_DOCUMENT),
    "trailing bytes": PLAIN + b"\x00",
    "truncated": PLAIN[:-1],
    "another tag": b"\xd1" + PLAIN,
    "the tag twice": b"\xd2\xd2" + PLAIN,
    "of indefinite length": b"\x9f" + PLAIN[1:] + b"\xff",
    "three parts": cbor2.dumps(cbor2.loads(PLAIN)[:3]),
    "no array": cbor2.dumps({1: 2}),
    "a longer signature": PLAIN[:-98] + b"\x58\x61" + PLAIN[-96:] + b"\x00",
}


@pytest.mark.parametrize("what", SPELLINGS)
def test_an_item_that_is_not_exactly_right_is_refused(what: str) -> None:
    assert refusal(SPELLINGS[what]).check == "nitro.format"


def test_the_length_of_the_payload_has_one_spelling() -> None:
    at = PLAIN.index(b"\x59", 6)  # the payload's length takes two bytes, here four
    assert refusal(PLAIN[:at] + b"\x5a\x00\x00" + PLAIN[at + 1 :]).check == "nitro.format"


@pytest.mark.parametrize("header", [{1: -7}, {1: -35, 4: 1}, {}, {1: -36}])
def test_another_algorithm_is_refused(header: dict[int, int]) -> None:
    error = refusal(HYPERVISOR.document(NOW, header=header))
    assert (error.check, cbor2.dumps(header).hex() in error.got) == ("nitro.algorithm", True)


def test_a_header_that_nobody_signs_is_refused() -> None:
    assert refusal(HYPERVISOR.document(NOW, unprotected={4: b"key"})).check == "nitro.algorithm"


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "SHA256"},
        {"digest": None},
        {"module_id": ""},
        {"module_id": b"i-0"},
        {"module_id": "i-\n"},
        {"module_id": "i" * 200},
        {"timestamp": 0},
        {"timestamp": -1},
        {"timestamp": "1"},
        {"pcrs": {}},
        {"pcrs": []},
        {"pcrs": {32: bytes(48)}},
        {"pcrs": {-1: bytes(48)}},
        {"pcrs": {"0": bytes(48)}},
        {"pcrs": {0: bytes(32)}},
        {"pcrs": {0: "0" * 48}},
        {"certificate": b""},
        {"certificate": bytes(1025)},
        {"cabundle": []},
        {"cabundle": b"x"},
        {"cabundle": [bytes(1)] * 9},
        {"cabundle": [b""]},
        {"public_key": b""},
        {"public_key": bytes(1025)},
        {"user_data": bytes(513)},
        {"nonce": bytes(513)},
        {"nonce": "text"},
        {"other": b""},
    ],
    ids=str,
)
def test_a_field_of_another_kind_or_size_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(HYPERVISOR.document(NOW, bend=lambda fields: fields.update(changes))).check == "nitro.format"


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("module_id", "i", "i" * 128),
        ("public_key", b"k", b"k" * 1024),
        ("user_data", b"", b"u" * 512),
        ("nonce", b"", b"n" * 512),
        ("certificate", b"c", b"c" * 1024),
        ("cabundle", [b"c"], [b"c"] * 8),
        ("pcrs", {0: bytes(48)}, {index: bytes(48) for index in range(32)}),
        ("timestamp", 1, 2**63 - 1),
    ],
)
def test_the_smallest_and_the_largest_of_each_field(name: str, least: Any, most: Any) -> None:
    def document(value: object) -> bytes:
        return HYPERVISOR.document(NOW, bend=lambda fields: fields.update({name: value}))

    for value in (least, most):
        assert len(parse(document(value)).signature) == 96
    if name not in {"pcrs", "timestamp"}:
        assert refusal(document(most + most[:1])).check == "nitro.format"


@pytest.mark.parametrize("name", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"])
def test_a_field_that_is_absent_is_refused(name: str) -> None:
    assert refusal(HYPERVISOR.document(NOW, bend=lambda fields: fields.pop(name))).check == "nitro.format"


@pytest.mark.parametrize("payload", [b"", b"\xf6", cbor2.dumps([1]), bytes(16_385), cbor2.loads(PLAIN)[2] + b"\x00"], ids=len)
def test_a_payload_that_is_no_document_is_refused(payload: bytes) -> None:
    assert refusal(HYPERVISOR.sign(payload)).check == "nitro.format"


@given(st.integers(0, len(PLAIN) - 1))
def test_every_truncation_is_refused(size: int) -> None:
    assert refusal(PLAIN[:size]).check == "nitro.format"


@given(st.binary(max_size=400))
def test_only_our_refusal_escapes_for_any_bytes(data: bytes) -> None:
    assert refusal(data).check == "nitro.format"


@given(st.lists(st.tuples(st.integers(0, len(PLAIN)), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_only_our_refusal_escapes_for_bent_documents(edits: list[tuple[int, bytes]]) -> None:
    data = PLAIN
    for at, piece in edits:
        data = data[:at] + piece + data[at + len(piece) :]
    assert refused_check(lambda: parse(data)) in (None, "nitro.format", "nitro.algorithm")
