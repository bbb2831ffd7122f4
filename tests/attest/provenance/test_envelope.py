"""Statements under a key: Ed25519 over DSSE's encoding."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import envelope
from ollm.attest.provenance.reference_values import REFERENCE_VALUES, measured
from ollm.attest.provenance.statement import PAYLOAD_TYPE
from ollm.testing.mint.provenance import SUBJECT, packed, sealed
from ollm.testing.mint.provenance import statement as minted
from ollm.values.provenance import SigningKey
from tests.attest.provenance.common import NOW, caught, refusal

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
DATES = {"issued_at": NOW, "expires_at": NOW + 60}
PAYLOAD = minted(REFERENCE_VALUES, DATES)


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()


def test_the_encoding_is_that_of_the_specification() -> None:
    encoded = envelope.pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_example_of_the_specification_is_verified() -> None:
    page = (Path(__file__).parents[3] / "docs" / "spec" / "reference-values.md").read_text(encoding="utf-8")
    shown, example = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert example == sealed(json.dumps(shown, separators=(",", ":")).encode(), KEY)
    assert public(KEY) in page
    read = envelope.verify(packed(example), (public(KEY),))
    assert (read.signed_at, measured(read, NOW).nitro[0].name) == (1_790_000_000, "example 1.2.0")


def test_a_statement_by_a_named_key_is_verified() -> None:
    read = envelope.verify(packed(sealed(PAYLOAD, KEY)), (public(OTHER), public(KEY)))
    assert (read.by, read.signed_at, read.subjects, read.predicate) == (SigningKey(public_key=public(KEY)), NOW, (SUBJECT,), DATES)
    assert str(read.by) == f"key {public(KEY)}"


def test_one_named_key_among_several_signatures_is_enough() -> None:
    assert envelope.verify(packed(sealed(PAYLOAD, OTHER, KEY)), (public(KEY),)).by == SigningKey(public_key=public(KEY))


def test_a_signature_behind_too_many_others_is_not_looked_for() -> None:
    for others, taken in ((7, True), (8, False)):
        document = sealed(PAYLOAD, *[OTHER] * others, KEY)
        verdict = caught(envelope.verify, packed(document), (public(KEY),))
        assert (verdict is None) is taken


def test_a_key_that_the_policy_does_not_name_is_refused() -> None:
    for signers in ((), (public(OTHER),), ("zz" * 32,), ("00" * 31,)):
        assert refusal(envelope.verify, packed(sealed(PAYLOAD, KEY)), signers).check == "provenance.signature"


def test_each_bit_is_signed() -> None:
    document = sealed(PAYLOAD, KEY)
    document["payload"] = sealed(PAYLOAD.replace(b"release.json", b"release.jsom"), KEY)["payload"]
    assert "no signature" in refusal(envelope.verify, packed(document), (public(KEY),)).got
    other_type = sealed(PAYLOAD, KEY, payload_type="text/plain")
    assert "another type" in refusal(envelope.verify, packed(other_type), (public(KEY),)).got
    other_type["payloadType"] = PAYLOAD_TYPE
    assert "no signature" in refusal(envelope.verify, packed(other_type), (public(KEY),)).got


def test_the_hint_of_a_key_decides_nothing() -> None:
    document = sealed(PAYLOAD, OTHER)
    document["signatures"][0]["keyid"] = public(KEY)
    assert "no signature" in refusal(envelope.verify, packed(document), (public(KEY),)).got


def test_a_key_vouches_for_reference_values_only() -> None:
    slsa = sealed(minted("https://slsa.dev/provenance/v1", DATES), KEY)
    assert refusal(envelope.verify, packed(slsa), (public(KEY),)).check == "provenance.reference_values"
    dateless = sealed(minted(REFERENCE_VALUES, {}), KEY)
    assert refusal(envelope.verify, packed(dateless), (public(KEY),)).check == "provenance.reference_values"


@pytest.mark.parametrize(
    "members",
    [
        {"payload": ""},
        {"payload": "!"},
        {"payload": "YQ"},
        {"payload": "YR=="},
        {"payload": "é"},
        {"payload": 1},
        {"extra": 1},
        {"signatures": []},
        {"signatures": {}},
        {"signatures": [{}]},
        {"signatures": [{"sig": ""}]},
        {"signatures": ["x"]},
        {"signatures": [{"sig": "YQ==", "cert": ""}]},
        {"signatures": [{"sig": "YQ=="}] * 9},
        {"payloadType": "application/json"},
        {"payloadType": None},
    ],
)
def test_another_envelope_is_refused(members: dict[str, Any]) -> None:
    refused = refusal(envelope.verify, packed({**sealed(PAYLOAD, KEY), **members}), (public(KEY),))
    assert refused.check == "provenance.signature"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["name", "digest", "sha256", "sig"]), below),
        max_leaves=6,
    )
)
def test_only_a_refusal_escapes(value: Any) -> None:
    for document in (value, {**sealed(PAYLOAD, KEY), "payload": value}, {**sealed(PAYLOAD, KEY), "signatures": value}):
        refused = caught(envelope.verify, json.dumps(document).encode(), (public(KEY),))
        assert refused is not None
        assert refused.check == "provenance.signature"
