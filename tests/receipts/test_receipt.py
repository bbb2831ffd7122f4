"""Receipts: the specification's own vector byte for byte, the canonical form, and every way a receipt can be wrong."""

import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.receipts import receipt as receipts
from ollm.receipts.receipt import (
    STEPS,
    Event,
    failed,
    forwarded,
    issue,
    policy,
    received,
    response_signature,
    returned,
    sealed,
    verified,
    verify_bodies,
    verify_citation,
    verify_receipt,
)
from ollm.values.aci import E2eeKey, Keyset, SigningKey, TlsKey
from ollm.values.hexes import Hex32, Sha256, sha256_of
from ollm.values.jcs import canonical

# ACI's test vectors: private keys are 32 equal bytes, the receipt key's are 0x02.
KEY = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
KEYSET = Keyset(
    subject="dstack-app://example-app",
    not_after=1800000000,
    receipt_signing_keys=(SigningKey("receipt-1", "ed25519", "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"),),
    e2ee_public_keys=(E2eeKey("e2ee-1", "x25519-aes-256-gcm-hkdf-sha256", "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22"),),
    tls_public_keys=(TlsKey("c0" * 32, "api.example.com"),),
)
DIGEST = Sha256("sha256:53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371")
REQUEST = b'{"messages":[{"content":"hi","role":"user"}],"model":"demo-model"}'
RESPONSE = b'{"choices":[],"id":"chatcmpl-123"}'
SESSION_ID = Hex32("95ad1cb4dd25445808c2e9d116caf420b05703730b506395e8fc1ca6faeae28f")
SIGNATURE = "d5b005e093bde3b577faf270b7184b09e169cacb0ecb206b103bd2581f997db03da616175454b063323a23ac1dc68f1ce506c2a6eba8aa0561d5e724f0b80c03"


class Signer:
    key_id = "receipt-1"

    def sign(self, message: bytes) -> bytes:
        return KEY.sign(message)


def vector_receipt(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "receipt_id": "rcpt-0001",
        "chat_id": "chatcmpl-123",
        "model": "demo-model",
        "keyset_digest": DIGEST,
        "endpoint": "/v1/chat/completions",
        "method": "POST",
        "served_at": 1750000000,
        "events": [
            received(sha256_of(REQUEST)),
            forwarded(sha256_of(REQUEST)),
            verified("demo-model", SESSION_ID, True),
            returned(sha256_of(RESPONSE)),
        ],
    }
    return issue(Signer(), **{**fields, **changes})


def signed(document: dict[str, Any]) -> bytes:
    """`document` with a right signature: what a dishonest but attested service could make."""
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps({**unsigned, "signature": KEY.sign(canonical(unsigned)).hex()}).encode()


def refusal_of(document: bytes, keyset: Keyset = KEYSET) -> str:
    with pytest.raises(WireError) as refusal:
        verify_receipt(document, keyset)
    step, _, text = refusal.value.reason.partition(": ")
    assert text
    return step


# --- the specification's vector -----------------------------------------------------------------------------------------


def test_the_vectors_hashes() -> None:
    assert KEYSET.digest() == DIGEST
    assert sha256_of(REQUEST) == "sha256:94d809bf47380d8a2eab0eb6e126d4dda9364b0b4725cdf7ead52dd70b2aa87b"
    assert sha256_of(RESPONSE) == "sha256:dedfffe5b14d031b8e2c01996d021a15293cb7c63b56be7e4be9e89b6f0a5f61"


def test_the_vectors_signature() -> None:
    document = json.loads(vector_receipt())
    assert document.pop("signature") == SIGNATURE
    assert sha256_of(canonical(document)) == "sha256:1bd328e6880a5a12b3915af95ea32111310e04ab9e21ac3d71ce268e33b965c9"


def test_the_vectors_document_byte_for_byte() -> None:
    received_hash = "sha256:94d809bf47380d8a2eab0eb6e126d4dda9364b0b4725cdf7ead52dd70b2aa87b"
    returned_hash = "sha256:dedfffe5b14d031b8e2c01996d021a15293cb7c63b56be7e4be9e89b6f0a5f61"
    assert vector_receipt().decode() == (
        '{"api_version":"aci/1","chat_id":"chatcmpl-123","endpoint":"/v1/chat/completions","event_log":['
        f'{{"body_hash":"{received_hash}","type":"request.received"}},'
        f'{{"body_hash":"{received_hash}","type":"request.forwarded"}},'
        f'{{"model_id":"demo-model","required":true,"result":"verified","session_id":"{SESSION_ID}","type":"upstream.verified"}},'
        f'{{"body_hash":"{returned_hash}","type":"response.returned"}}],'
        '"key_id":"receipt-1","method":"POST","model":"demo-model","receipt_id":"rcpt-0001","served_at":1750000000,'
        f'"signature":"{SIGNATURE}","workload_keyset_digest":"{DIGEST}"}}'
    )


def test_the_vector_verifies_and_any_encoding_of_it() -> None:
    document = verify_receipt(vector_receipt(), KEYSET)
    assert document["receipt_id"] == "rcpt-0001"
    assert verify_receipt(json.dumps(dict(reversed(document.items())), indent=3).encode(), KEYSET) == document


# --- canonical form -----------------------------------------------------------------------------------------------------

values = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
names = st.text(st.characters(max_codepoint=127), max_size=12)
events = st.lists(st.dictionaries(names, values, max_size=6), max_size=6)


@given(events=events, model=st.none() | st.text(), chat_id=st.none() | st.text(), receipt_id=st.text(), served_at=st.integers(0, 2**40))
def test_what_is_issued_is_canonical(events: list[Event], model: str | None, chat_id: str | None, receipt_id: str, served_at: int) -> None:
    issued = vector_receipt(events=events, model=model, chat_id=chat_id, receipt_id=receipt_id, served_at=served_at)
    document = json.loads(issued)
    assert issued == canonical(document)
    signature = bytes.fromhex(document.pop("signature"))
    KEY.public_key().verify(signature, canonical(document))
    assert (document["model"], document["chat_id"], document["event_log"]) == (model, chat_id, events)


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), b"bytes", ["nested"], {"nested": 1}], ids=repr)
def test_values_without_a_canonical_form_are_not_issued(value: Any) -> None:
    with pytest.raises(WireError):
        vector_receipt(events=[{"type": "x", "value": value}])


def test_names_beyond_ascii_and_lone_surrogates_are_not_issued() -> None:
    with pytest.raises(WireError):
        vector_receipt(events=[{"größe": 1}])
    with pytest.raises(WireError):
        vector_receipt(model="\ud800")


def test_a_digest_of_another_length_is_not_issued() -> None:
    with pytest.raises(WireError):
        vector_receipt(keyset_digest="sha256:00")


# --- events -------------------------------------------------------------------------------------------------------------


def test_events_say_what_the_specification_names() -> None:
    digest = sha256_of(b"x")
    assert received(digest) == {"type": "request.received", "body_hash": digest}
    assert forwarded(digest) == {"type": "request.forwarded", "body_hash": digest}
    assert returned(digest) == {"type": "response.returned", "body_hash": digest}
    assert sealed(digest) == {"type": "ollm.sealed", "body_hash": digest}
    assert policy(digest) == {"type": "ollm.config", "config_digest": digest}
    assert verified("m", SESSION_ID, True) == {
        "type": "upstream.verified",
        "result": "verified",
        "required": True,
        "model_id": "m",
        "session_id": SESSION_ID,
    }
    assert failed("m", "no_attestation", False) == {
        "type": "upstream.verified",
        "result": "failed",
        "required": False,
        "model_id": "m",
        "reason": "no_attestation",
    }
    assert failed("m", "quote.debug", True, "demo")["upstream_name"] == "demo"
    assert response_signature("missing") == {"type": "ollm.response_signature", "result": "missing"}
    assert response_signature("verified", kind="model") == {"type": "ollm.response_signature", "result": "verified", "kind": "model"}


def test_a_refusal_receipt_verifies() -> None:
    document = vector_receipt(
        chat_id=None, events=[received(sha256_of(REQUEST)), policy(DIGEST), failed("m", "quote.debug", True, "demo"), returned(sha256_of(RESPONSE))]
    )
    assert verify_receipt(document, KEYSET)["chat_id"] is None


# --- receipts that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"null",
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b'{"a":1e3}',
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b"{}",
    ],
    ids=lambda document: repr(document[:12]),
)
def test_what_is_no_receipt(document: bytes) -> None:
    assert refusal_of(document) == "receipt.format"


@pytest.mark.parametrize("name", ["api_version", "endpoint", "key_id", "method", "receipt_id", "served_at", "signature", "workload_keyset_digest"])
@pytest.mark.parametrize("value", [None, [], True, -1])
def test_a_member_of_another_type(name: str, value: Any) -> None:
    document = json.loads(vector_receipt())
    assert refusal_of(json.dumps({**document, name: value}).encode()) == "receipt.format"
    del document[name]
    assert refusal_of(json.dumps(document).encode()) == "receipt.format"


def test_another_version() -> None:
    assert refusal_of(signed({**json.loads(vector_receipt()), "api_version": "aci/2"})) == "receipt.version"


def test_another_keyset() -> None:
    assert refusal_of(vector_receipt(keyset_digest=sha256_of(b"another"))) == "receipt.keyset"
    assert refusal_of(vector_receipt(), msgspec.structs.replace(KEYSET, not_after=1800000001)) == "receipt.keyset"


def test_a_receipt_from_after_the_keysets_end() -> None:
    assert refusal_of(vector_receipt(served_at=1800000001)) == "receipt.keyset"


def test_the_digest_of_a_peers_own_spelling_can_be_given() -> None:
    spelled = sha256_of(b"the same keyset with a null spelled out")
    assert verify_receipt(vector_receipt(keyset_digest=spelled), KEYSET, spelled)["receipt_id"] == "rcpt-0001"


def with_key(keyset: Keyset, **changes: Any) -> tuple[bytes, Keyset]:
    changed = msgspec.structs.replace(keyset, **changes)
    return vector_receipt(keyset_digest=changed.digest()), changed


_SPKI = sha256_of(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).removeprefix("sha256:")
_PUBLIC = KEYSET.receipt_signing_keys[0].public_key


@pytest.mark.parametrize(
    "changes",
    [
        {"receipt_signing_keys": ()},
        {"receipt_signing_keys": (SigningKey("receipt-2", "ed25519", _PUBLIC),)},
        {"receipt_signing_keys": KEYSET.receipt_signing_keys * 2},
        {"receipt_signing_keys": (SigningKey("receipt-1", "ecdsa", _PUBLIC),)},
        {"receipt_signing_keys": (SigningKey("receipt-1", "ed25519", "zz"),)},
        {"e2ee_public_keys": (E2eeKey("e", "any", _PUBLIC),)},
        {"tls_public_keys": (TlsKey(_SPKI),)},
    ],
    ids=["no key", "another key_id", "two of one key_id", "another algorithm", "not a key", "also an E2EE key", "also a TLS key"],
)
def test_keys_that_may_not_sign(changes: dict[str, Any]) -> None:
    assert refusal_of(*with_key(KEYSET, **changes)) == "receipt.key"


def test_another_signer() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes([5] * 32)).public_key().public_bytes_raw().hex()
    assert refusal_of(*with_key(KEYSET, receipt_signing_keys=(SigningKey("receipt-1", "ed25519", other),))) == "receipt.signature"


@pytest.mark.parametrize("signature", ["", "00" * 63, "00" * 64, SIGNATURE.upper(), "0x" + SIGNATURE[2:]])
def test_another_signature(signature: str) -> None:
    assert refusal_of(json.dumps({**json.loads(vector_receipt()), "signature": signature}).encode()) == "receipt.signature"


def test_an_added_member_is_covered_by_the_signature() -> None:
    assert refusal_of(json.dumps({**json.loads(vector_receipt()), "note": "x"}).encode()) == "receipt.signature"


def test_no_changed_byte_passes() -> None:
    issued = vector_receipt()
    for at in range(len(issued)):
        with pytest.raises(WireError):
            verify_receipt(issued[:at] + bytes([issued[at] ^ 1]) + issued[at + 1 :], KEYSET)


_RECEIVED, _FORWARDED, _VERIFIED, _RETURNED = json.loads(vector_receipt())["event_log"]


@pytest.mark.parametrize(
    "log",
    [
        None,
        {},
        [],
        [1],
        [{"body_hash": "x"}],
        [_RETURNED],
        [_RETURNED, _RECEIVED],
        [_RECEIVED],
        [_RECEIVED, _RECEIVED, _RETURNED],
        [_RECEIVED, _RETURNED, _RETURNED],
        [{"type": "request.received"}, _RETURNED],
        [{"type": "request.received", "body_hash": "00" * 32}, _RETURNED],
        [_RECEIVED, {"type": "request.forwarded", "body_hash": 1}, _RETURNED],
        [_RECEIVED, {**_VERIFIED, "result": "maybe"}, _RETURNED],
        [_RECEIVED, {**_VERIFIED, "required": "yes"}, _RETURNED],
        [_RECEIVED, {**_VERIFIED, "session_id": "short"}, _RETURNED],
        [_RECEIVED, {**_VERIFIED, "model_id": None}, _RETURNED],
        [_RECEIVED, {**_VERIFIED, "result": "failed"}, _RETURNED],
    ],
)
def test_event_logs_that_are_refused(log: Any) -> None:
    assert refusal_of(signed({**json.loads(vector_receipt()), "event_log": log})) == "receipt.events"


def test_events_of_other_services_are_passed_over() -> None:
    log = [_RECEIVED, {"type": "routing.decision", "body_hash": 7}, _RETURNED]
    assert verify_receipt(signed({**json.loads(vector_receipt()), "event_log": log}), KEYSET)["event_log"] == log


def test_a_log_beyond_the_canonical_form_is_refused_as_format() -> None:
    document = json.dumps({**json.loads(vector_receipt()), "größe": 1}).encode()
    assert refusal_of(document) == "receipt.format"


# --- beside the receipt -------------------------------------------------------------------------------------------------


def test_bodies() -> None:
    receipt = verify_receipt(vector_receipt(), KEYSET)
    verify_bodies(receipt, request=REQUEST, response=RESPONSE)
    verify_bodies(receipt)
    for bodies in ({"request": REQUEST + b" "}, {"response": b""}):
        with pytest.raises(WireError, match=r"receipt\.bodies"):
            verify_bodies(receipt, **bodies)


def test_citation() -> None:
    receipt = verify_receipt(vector_receipt(), KEYSET)
    session = {"established_at": 1750000000, "expires_at": 1750003600}
    verify_citation(receipt, SESSION_ID, session)
    for session_id, period in (
        (Hex32("00" * 32), session),
        (SESSION_ID, {**session, "established_at": 1750000001}),
        (SESSION_ID, {**session, "expires_at": 1749999999}),
    ):
        with pytest.raises(WireError, match=r"receipt\.session"):
            verify_citation(receipt, session_id, period)


def test_a_failed_verification_cites_nothing() -> None:
    receipt = verify_receipt(vector_receipt(events=[received(DIGEST), failed("m", "no_attestation", False), returned(DIGEST)]), KEYSET)
    with pytest.raises(WireError, match="cites no session"):
        verify_citation(receipt, SESSION_ID, {"established_at": 0, "expires_at": 2**40})


def test_every_step_is_in_the_table() -> None:
    source = receipts.__loader__.get_source(receipts.__name__)  # type: ignore[union-attr]
    named = {part.split('"')[0] for part in source.split('_refused("')[1:]}
    assert named == set(STEPS)
