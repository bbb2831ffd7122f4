"""Statements signed with a key that the policy names: DSSE envelopes, Ed25519.

    {"payload": base64 of the statement, "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "…", "sig": base64}, …]}

What is signed is the pre-authentication encoding: `DSSEv1 LEN(type) type LEN(payload) payload`, lengths in decimal bytes. `keyid` is a
hint that nobody signed, so it is not looked at. Such a statement has no log that dates it: the signer's own `issued_at` does, and what
it vouches for ends at its `expires_at` (`reference_values`).

Source: secure-systems-lab/dsse, envelope.md and protocol.md, v1.
"""

import base64
import binascii
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ollm.attest import strict_json
from ollm.attest.provenance import reference_values, statement
from ollm.errors import EvidenceRefused
from ollm.values.provenance import SigningKey, VerifiedStatement

MAX_ENVELOPE = 2 * statement.MAX_STATEMENT
MAX_SIGNATURES = 8  # an old key and a new one sign side by side while a key is replaced

_CHECK = "provenance.signature"
_MEMBERS = {"payload", "payloadType", "signatures"}
_WANT = "a DSSE envelope: payload, payloadType, signatures"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def verify(envelope: bytes, signers: Sequence[str]) -> VerifiedStatement:
    """The statement in `envelope`, signed with one of `signers` (Ed25519 public keys, 64 hex).

    Raises: EvidenceRefused with provenance.signature, provenance.statement or provenance.reference_values.
    """
    payload, signatures = _read(envelope)
    signer = _signer(pre_authentication_encoding(statement.PAYLOAD_TYPE, payload), signatures, signers)
    signed = statement.parse(payload)
    return VerifiedStatement(
        by=SigningKey(public_key=signer),
        signed_at=reference_values.issued_at(signed.predicate_type, signed.predicate),
        subjects=signed.subjects,
        predicate_type=signed.predicate_type,
        predicate=signed.predicate,
    )


def _read(envelope: bytes) -> tuple[bytes, list[bytes]]:
    """Payload and signatures."""
    document = strict_json.parse(envelope, limit=MAX_ENVELOPE, check=_CHECK)
    if not isinstance(document, dict) or set(document) != _MEMBERS:
        raise EvidenceRefused(_CHECK, "a document that is no envelope", _WANT)
    if document["payloadType"] != statement.PAYLOAD_TYPE:
        raise EvidenceRefused(_CHECK, "a payload of another type", statement.PAYLOAD_TYPE)
    signatures = document["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise EvidenceRefused(_CHECK, "no list of signatures, or too long a one", f"1 to {MAX_SIGNATURES}")
    if not all(isinstance(signature, dict) and set(signature) <= {"keyid", "sig"} for signature in signatures):
        raise EvidenceRefused(_CHECK, "a signature with other members than keyid and sig", _WANT)
    return _bytes(document["payload"]), [_bytes(signature.get("sig")) for signature in signatures]


def _bytes(text: object) -> bytes:
    """Standard base64 with padding, in its one spelling."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        data = None
    if not data or base64.b64encode(data).decode() != text:
        raise EvidenceRefused(_CHECK, "a payload or signature that is no base64", "standard base64 with padding")
    return data


def _signer(signed: bytes, signatures: Sequence[bytes], signers: Sequence[str]) -> str:
    """The first of `signers` that made one of `signatures`."""
    for public_key in signers:
        for signature in signatures:
            try:
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, signed)
            except (ValueError, InvalidSignature):
                continue
            return public_key
    raise EvidenceRefused(_CHECK, "no signature by a key that the policy names", f"one by one of {len(signers)} keys in `signers`")
