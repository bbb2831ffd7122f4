"""Sessions: the specification's vector, and records that are not what a receipt cited."""

import json
from typing import Any

import pytest

from ollm.errors import WireError
from ollm.receipts.session import abbreviated, build_session, evidence_of, verify_session
from ollm.values.checks import Claim, Claims
from ollm.values.hexes import Hex32, sha256_of
from ollm.values.jcs import canonical

# ACI's test vectors, section 3.
VECTOR_ID = "95ad1cb4dd25445808c2e9d116caf420b05703730b506395e8fc1ca6faeae28f"
BINDING = {"type": "tls_spki_sha256", "origin": "https://upstream.example.com", "spki_sha256": "d1" * 32}
CLAIMS = Claims(
    tee_attested=Claim("asserted", "hardware_proven", "example quote verified"),
    extra={"gpu_arch": "HOPPER", "tcb_status": "UpToDate"},
)


def vector_session(**changes: Any) -> tuple[Hex32, bytes]:
    fields: dict[str, Any] = {
        "upstream_name": "demo-upstream",
        "endpoint": "https://upstream.example.com",
        "verifier_id": "example/1",
        "established_at": 1750000000,
        "expires_at": 1750003600,
        "identity": None,
        "channel_binding": [BINDING],
        "claims": CLAIMS,
        "evidence": b"example-evidence",
        "evidence_type": "text/plain",
    }
    return build_session(**{**fields, **changes})


def rebuilt(**changes: Any) -> tuple[str, bytes]:
    """The vector's session with members changed (None removes one) and the id that fits."""
    document = {**json.loads(vector_session()[1]), **changes}
    encoded = canonical({name: value for name, value in document.items() if value != "removed"})
    return sha256_of(encoded).removeprefix("sha256:"), encoded


def refusal_of(session_id: str, document: bytes) -> str:
    with pytest.raises(WireError) as refusal:
        verify_session(session_id, document)
    return refusal.value.reason.split(":")[0]


def test_the_vector() -> None:
    session_id, document = vector_session()
    assert session_id == VECTOR_ID
    assert json.loads(document)["evidence"] == {
        "digest": "sha256:80d70e44d0ae1e829fd5f37c3ee4a60dfbea8d3aa18407ea3f34cf7ec91da34d",
        "data": "data:text/plain;base64,ZXhhbXBsZS1ldmlkZW5jZQ==",
    }
    assert "identity" not in json.loads(document)


def test_the_vector_verifies_in_any_encoding() -> None:
    document = vector_session()[1]
    assert verify_session(VECTOR_ID, document) == verify_session(VECTOR_ID, json.dumps(json.loads(document), indent=1).encode())


def test_identity_and_a_channel_without_origin() -> None:
    session_id, document = vector_session(identity={"keyset_digest": sha256_of(b"k")}, endpoint=None)
    session = verify_session(session_id, document)
    assert session["identity"] == {"keyset_digest": sha256_of(b"k")} and session["endpoint"] is None


def test_the_evidence_comes_back_with_its_type() -> None:
    session_id, document = vector_session(evidence=bytes(range(256)), evidence_type="multipart/mixed;boundary=x")
    assert evidence_of(verify_session(session_id, document)) == (bytes(range(256)), "multipart/mixed;boundary=x")


@pytest.mark.parametrize("media_type", ["", "text/plain, x", "text/plain; charset=utf-8", "text/plain\n", "täxt/plain"])
def test_a_media_type_that_breaks_the_data_uri_is_refused(media_type: str) -> None:
    with pytest.raises(WireError):
        vector_session(evidence_type=media_type)


def test_another_byte_is_another_session() -> None:
    _, document = vector_session()
    assert refusal_of(VECTOR_ID, document.replace(b"UpToDate", b"OutOfDat")) == "session.id"
    assert refusal_of("00" * 32, document) == "session.id"


@pytest.mark.parametrize("document", [b"", b"[]", b'{"a":1.5}', b'{"a":1,"a":1}', '{"ü":1}'.encode()])
def test_what_is_no_session(document: bytes) -> None:
    assert refusal_of(VECTOR_ID, document) == "session.format"


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"api_version": "aci/2"}, "session.version"),
        ({"upstream_name": 1}, "session.format"),
        ({"verifier_id": "removed"}, "session.format"),
        ({"established_at": "1750000000"}, "session.format"),
        ({"expires_at": True}, "session.format"),
        ({"endpoint": 7}, "session.format"),
        ({"identity": []}, "session.format"),
        ({"claims": "removed"}, "session.format"),
        ({"channel_binding": []}, "session.format"),
        ({"channel_binding": "removed"}, "session.format"),
        ({"channel_binding": ["x"]}, "session.format"),
        ({"expires_at": 1750000000}, "session.period"),
        ({"evidence": "removed"}, "session.evidence"),
        ({"evidence": {"digest": "sha256:" + "00" * 32}}, "session.evidence"),
        ({"evidence": {"digest": "sha256:" + "00" * 32, "data": "data:text/plain;base64,AAAA"}}, "session.evidence"),
        ({"evidence": {"digest": "sha256:" + "00" * 32, "data": "data:text/plain,plain"}}, "session.evidence"),
        ({"evidence": {"digest": "sha256:" + "00" * 32, "data": "data:text/plain;base64,A"}}, "session.evidence"),
    ],
    ids=str,
)
def test_records_that_are_refused_though_their_id_fits(changes: dict[str, Any], step: str) -> None:
    assert refusal_of(*rebuilt(**changes)) == step


def test_an_abbreviated_entry_keeps_all_but_the_evidences_bytes() -> None:
    session_id, document = vector_session()
    entry = abbreviated(session_id, document)
    assert entry.pop("session_id") == VECTOR_ID
    full = json.loads(document)
    del full["evidence"]["data"]
    assert entry == full


def test_only_a_session_can_be_abbreviated() -> None:
    with pytest.raises(WireError):
        abbreviated(VECTOR_ID, b'{"evidence":[]}')
