"""Attested sessions of ACI/1 (ACI §8): the immutable record of one verification of one upstream channel.

    {"api_version":"aci/1","channel_binding":[{"type":"tls_spki_sha256",…}],"claims":{…},"endpoint":"https://…","established_at":…,
     "evidence":{"data":"data:application/json;base64,…","digest":"sha256:…"},"expires_at":…,"upstream_name":"…","verifier_id":"…"}

Its id is the SHA-256 of its canonical form, so a receipt that cites the id commits to every byte of evidence.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ollm.errors import WireError
from ollm.receipts.document import parse_document, text_member, time_member
from ollm.values.aci import API_VERSION
from ollm.values.checks import Claims
from ollm.values.hexes import Hex32, sha256_of
from ollm.values.jcs import canonical

_MEDIA_TYPE = re.compile(r"[!-+\--~]+")  # printable ASCII without a comma, which would end the URI's head
_DATA_URI = re.compile(rf"data:({_MEDIA_TYPE.pattern});base64,([A-Za-z0-9+/]*={{0,2}})")


def build_session(
    *,
    upstream_name: str,
    endpoint: str | None,
    verifier_id: str,
    established_at: int,
    expires_at: int,
    identity: Mapping[str, Any] | None,
    channel_binding: Sequence[Mapping[str, str]],
    claims: Claims,
    evidence: bytes,
    evidence_type: str,
) -> tuple[Hex32, bytes]:
    """The session's id and its document in canonical form.

    Times are Unix seconds; `evidence` is the exact bytes that were appraised, of media type `evidence_type`; `identity` None
    leaves the member away. Raises: WireError for a value without a canonical form.
    """
    if not _MEDIA_TYPE.fullmatch(evidence_type):
        raise WireError("the evidence's media type does not fit into a data URI")
    document: dict[str, Any] = {
        "api_version": API_VERSION,
        "upstream_name": upstream_name,
        "endpoint": endpoint,
        "verifier_id": verifier_id,
        "established_at": established_at,
        "expires_at": expires_at,
        "channel_binding": [dict(binding) for binding in channel_binding],
        "claims": claims.document(),
        "evidence": {"digest": sha256_of(evidence), "data": f"data:{evidence_type};base64,{base64.b64encode(evidence).decode()}"},
    }
    if identity is not None:
        document["identity"] = dict(identity)
    encoded = canonical(document)
    return _id_of(encoded), encoded


def verify_session(session_id: str, document: bytes) -> dict[str, Any]:
    """The session, once its id, version, members and evidence digest hold (ACI §9.2, 1 and 2).

    What its claims are worth is the reader's policy; `evidence_of` gives the bytes for a re-appraisal. Raises: WireError whose reason
    begins with session.format, session.id, session.version, session.period or session.evidence.
    """
    try:
        session = parse_document(document)
        identifier = _id_of(canonical(session))
    except WireError as problem:
        raise WireError(f"session.format: {problem.reason}") from None
    if identifier != session_id:
        raise WireError("session.id: the document does not hash to its id")
    if session.get("api_version") != API_VERSION:
        raise WireError("session.version: api_version is not aci/1")
    try:
        text_member(session, "upstream_name")
        text_member(session, "verifier_id")
        period = time_member(session, "established_at"), time_member(session, "expires_at")
        _check_shape(session)
    except WireError as problem:
        raise WireError(f"session.format: {problem.reason}") from None
    if period[0] >= period[1]:
        raise WireError("session.period: it expires before it is established")
    evidence_of(session)
    return session


def evidence_of(session: Mapping[str, Any]) -> tuple[bytes, str]:
    """The evidence of a session and its media type. Raises: WireError session.evidence when the digest is not that of the bytes."""
    evidence = session.get("evidence")
    if not isinstance(evidence, dict):
        raise WireError("session.evidence: not an object")
    data = evidence.get("data")
    found = _DATA_URI.fullmatch(data) if isinstance(data, str) else None
    if found is None:
        raise WireError("session.evidence: data is not a base64 data URI")
    try:
        decoded = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        raise WireError("session.evidence: data is not base64") from None
    if sha256_of(decoded) != evidence.get("digest"):
        raise WireError("session.evidence: data does not hash to digest")
    return decoded, found[1]


def abbreviated(session_id: str, document: bytes) -> dict[str, Any]:
    """An entry of the list of sessions (ACI §8.1): with its id, without the bytes of the evidence. Raises: WireError."""
    session = parse_document(document)
    evidence = session.get("evidence")
    if not isinstance(evidence, dict):
        raise WireError("session.format: evidence is not an object")
    return {"session_id": session_id, **session, "evidence": {name: value for name, value in evidence.items() if name != "data"}}


def _id_of(encoded: bytes) -> Hex32:
    return Hex32(hashlib.sha256(encoded).hexdigest())


def _check_shape(session: dict[str, Any]) -> None:
    if session.get("endpoint") is not None:
        text_member(session, "endpoint")
    if not isinstance(session.get("identity", {}), dict) or not isinstance(session.get("claims"), dict):
        raise WireError("identity or claims is not an object")
    bindings = session.get("channel_binding")
    if not isinstance(bindings, list) or not bindings or not all(isinstance(binding, dict) for binding in bindings):
        raise WireError("channel_binding is not a list of bindings")
