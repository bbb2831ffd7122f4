"""Receipts of ACI/1 (ACI §7): a signed log of what happened to one request, without any of its content.

    {"api_version":"aci/1","chat_id":…,"endpoint":…,"event_log":[{"body_hash":"sha256:…","type":"request.received"},…],"key_id":…,
     "method":"POST","model":…,"receipt_id":…,"served_at":1750000000,"signature":"…","workload_keyset_digest":"sha256:…"}

The signature is Ed25519 over the canonical form (RFC 8785) of the document without `signature`. `issue` runs once per request,
so it lets msgspec write that form in one go: for strings, integers, booleans and null under ASCII names the two are the same
bytes (a property test holds them together). Of the names, `workload_keyset_digest` sorts last and `signature` right before it.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.errors import WireError
from ollm.receipts.document import parse_document, text_member, time_member
from ollm.values.aci import API_VERSION, Keyset
from ollm.values.hexes import Hex32, Sha256, hex32, sha256_name, sha256_of
from ollm.values.jcs import canonical

RECEIVED = "request.received"
FORWARDED = "request.forwarded"
VERIFIED = "upstream.verified"
RETURNED = "response.returned"
SEALED = "ollm.sealed"  # ours, like the next: docs/spec/aci-ehbp.md
CONFIG = "ollm.config"
EXECUTION = "ollm.execution"
SIGNED = "ollm.response_signature"
TRANSLATED = "ollm.translated"
RULED = "ollm.rule"
EXEMPTED = "ollm.exception"

# Steps of verify_receipt in their order, and what each proves. Names are stable: WireError.reason begins with one.
STEPS = {
    "receipt.format": "one strict JSON object with the members of a receipt",
    "receipt.version": "it is of ACI version aci/1",
    "receipt.keyset": "it names the established keyset, and was served before that keyset's end",
    "receipt.key": "its key is one of that keyset's Ed25519 receipt keys, and has no other role",
    "receipt.signature": "that key signed every member of it",
    "receipt.events": "its log begins with the one request.received and has one response.returned; every ACI event is well formed",
    "receipt.bodies": "the hashes in it are those of the bytes that were sent and received",
    "receipt.session": "it cites this session, and was served within the session's period",
}

Event = dict[str, str | bool | int | None]  # flat (ACI §7.3)
_values = dict.values

_PLAIN = {str, bool, type(None)}
_FLAT = {*_PLAIN, int}
_SAFE_INTEGER = 2**53 - 1  # RFC 8785 §3.2.2.3
_DIGEST_LENGTH = len("sha256:") + 64
_TAIL = len(',"workload_keyset_digest":""}') + _DIGEST_LENGTH
_ENCODER = msgspec.json.Encoder(order="deterministic")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class ReceiptSigner(Protocol):
    """The part of `ports.Signer` that a receipt needs."""

    @property
    def key_id(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


# --- events (ACI §7.4) --------------------------------------------------------------------------------------------------


def received(body_hash: Sha256) -> Event:
    """The body that the gateway processed; for a sealed request the opened plaintext."""
    return {"body_hash": body_hash, "type": RECEIVED}


def forwarded(body_hash: Sha256) -> Event:
    """The plaintext that went to inference, just before sealing: the enclave's own `request.received` says the same."""
    return {"body_hash": body_hash, "type": FORWARDED}


def sealed(body_hash: Sha256) -> Event:
    """The ciphertext that carried the forwarded body on the wire."""
    return {"body_hash": body_hash, "type": SEALED}


def policy(config_digest: Sha256, rules: str = "", rules_digest: Sha256 | None = None) -> Event:
    """The configuration, with its trust anchors and policies, that decided about this request, and which of its rules stood above it.

    `rules`: names of their tables with commas between them; the digest is of these tables.
    """
    if rules_digest is None:
        return {"config_digest": config_digest, "type": CONFIG}
    return {"config_digest": config_digest, "rules": rules, "rules_digest": rules_digest, "type": CONFIG}


def ruled(rule: str, action: str, side: str) -> Event:
    """A rule about texts acted on the request or the answer: `rule` is TABLE/NAME, `action` mask or block. Never what it found."""
    return {"action": action, "on": side, "rule": rule, "type": RULED}


def exempted(name: str, lifted: str, until: int) -> Event:
    """A configured exception stood above this request: `lifted` is the level or the rule, `until` Unix seconds."""
    return {"lifted": lifted, "name": name, "type": EXEMPTED, "until": until}


def execution(level: str) -> Event:
    """The execution level of the route that served: tee, zdr or simulated."""
    return {"level": level, "type": EXECUTION}


def verified(model_id: str, session_id: Hex32, required: bool) -> Event:
    """The upstream was verified; `session_id` holds the proof (ACI §7.5)."""
    return {"model_id": model_id, "required": required, "result": "verified", "session_id": session_id, "type": VERIFIED}


def failed(model_id: str, reason: str, required: bool, upstream_name: str | None = None) -> Event:
    """The upstream was not verified. With `required` nothing was forwarded; without, it was served unverified (ACI §7.5)."""
    event: Event = {"model_id": model_id, "reason": reason, "required": required, "result": "failed", "type": VERIFIED}
    if upstream_name is not None:
        event["upstream_name"] = upstream_name
    return event


def translated(asked: str, spoken: str) -> Event:
    """The request was forwarded in another API than the client's: what was forwarded and what was returned are translations."""
    return {"asked": asked, "spoken": spoken, "type": TRANSLATED}


def response_signature(result: str, **members: str) -> Event:
    """What became of the upstream machine's own signature over its answer: verified, missing or failed; who signed, and what."""
    return {**members, "result": result, "type": SIGNED}


def returned(body_hash: Sha256) -> Event:
    """The body as it left on the wire: an SSE stream with its framing, EHBP frames for a sealed answer, the error body of a refusal."""
    return {"body_hash": body_hash, "type": RETURNED}


# --- issuing ------------------------------------------------------------------------------------------------------------


def issue(
    signer: ReceiptSigner,
    *,
    receipt_id: str,
    chat_id: str | None,
    model: str | None,
    keyset_digest: Sha256,
    endpoint: str,
    method: str,
    served_at: int,
    events: Sequence[Event],
) -> bytes:
    """The signed receipt, in canonical form. `served_at` is in Unix seconds; `model` is the one that the client asked for.

    Raises: WireError for a value that has no canonical form.
    """
    _check_flat(events)
    if len(keyset_digest) != _DIGEST_LENGTH:
        raise WireError("the keyset digest is not a named SHA-256")
    document = {
        "api_version": API_VERSION,
        "chat_id": chat_id,
        "endpoint": endpoint,
        "event_log": events,
        "key_id": signer.key_id,
        "method": method,
        "model": model,
        "receipt_id": receipt_id,
        "served_at": served_at,
        "workload_keyset_digest": keyset_digest,
    }
    try:
        unsigned = _ENCODER.encode(document)
    except UnicodeEncodeError:
        raise WireError("lone surrogate in a receipt") from None
    signature = signer.sign(unsigned).hex().encode()
    return b'%b,"signature":"%b"%b' % (unsigned[:-_TAIL], signature, unsigned[-_TAIL:])


def _check_flat(events: Sequence[Event]) -> None:
    types = set(map(type, chain.from_iterable(map(_values, events))))  # one set for all, because this runs for each request
    if not "".join(chain.from_iterable(events)).isascii():
        raise WireError("an event's member name is not ASCII")
    if types <= _PLAIN:
        return
    if not types <= _FLAT or any(type(value) is int and abs(value) > _SAFE_INTEGER for event in events for value in event.values()):
        raise WireError("an event's value must be a string, an integer below 2^53, a boolean or null")


# --- verifying (ACI §9.3) -----------------------------------------------------------------------------------------------


def verify_receipt(document: bytes, keyset: Keyset, keyset_digest: Sha256 | None = None) -> dict[str, Any]:
    """The receipt, once its steps receipt.format to receipt.events hold under the established `keyset`.

    `keyset_digest` is the digest that `parse_keyset` gave, where there is one (a peer's document may spell out a null that ours
    leaves away). Raises: WireError, its reason beginning with the name of the failed step.
    """
    # 1. Format.
    try:
        receipt = parse_document(document)
        for name in ("api_version", "endpoint", "key_id", "method", "receipt_id", "signature", "workload_keyset_digest"):
            text_member(receipt, name)
        served_at = time_member(receipt, "served_at")
    except WireError as problem:
        raise _refused("receipt.format", problem.reason) from None
    # 2. Version: nothing else can be concluded about a version that we don't know.
    if receipt["api_version"] != API_VERSION:
        raise _refused("receipt.version", "api_version is not aci/1")
    # 3. Keyset.
    if receipt["workload_keyset_digest"] != (keyset_digest or keyset.digest()):
        raise _refused("receipt.keyset", "workload_keyset_digest is not that of the established keyset")
    if served_at > keyset.not_after:
        raise _refused("receipt.keyset", "served_at is after the keyset's not_after")
    # 4. Key: the keyset decides the algorithm, never the receipt.
    key = _receipt_key(keyset, receipt["key_id"])
    # 5. Signature, over the canonical form of what was parsed.
    signature = receipt["signature"]
    if not _SIGNATURE.fullmatch(signature):
        raise _refused("receipt.signature", "signature is not 128 lowercase hexadecimal characters")
    try:
        key.verify(bytes.fromhex(signature), canonical({name: value for name, value in receipt.items() if name != "signature"}))
    except WireError as problem:
        raise _refused("receipt.format", problem.reason) from None
    except InvalidSignature:
        raise _refused("receipt.signature", "the signature does not verify") from None
    # 6. Events.
    _check_events(receipt.get("event_log"))
    return receipt


def verify_bodies(receipt: dict[str, Any], *, request: bytes | None = None, response: bytes | None = None) -> None:
    """Compare the hashes of a verified `receipt` with the exact bytes that the client sent and received (ACI §9.3, 3 and 4).

    Of a sealed exchange, `request` is the plaintext and `response` the frames off the wire. Raises: WireError receipt.bodies.
    """
    hashes = {event["type"]: event["body_hash"] for event in receipt["event_log"] if event["type"] in (RECEIVED, RETURNED)}
    for event_type, body in ((RECEIVED, request), (RETURNED, response)):
        if body is not None and hashes[event_type] != sha256_of(body):
            raise _refused("receipt.bodies", f"{event_type} has another body_hash")


def verify_citation(receipt: dict[str, Any], session_id: Hex32, session: dict[str, Any]) -> None:
    """Compare a verified `receipt` with the verified `session` that served it (ACI §9.3, 5 and 6). Raises: WireError receipt.session."""
    cited = [event["session_id"] for event in receipt["event_log"] if event["type"] == VERIFIED and event["result"] == "verified"]
    if not cited:
        raise _refused("receipt.session", "it cites no session: the upstream was not verified")
    if session_id not in cited:
        raise _refused("receipt.session", "it cites another session")
    if not session["established_at"] <= receipt["served_at"] <= session["expires_at"]:
        raise _refused("receipt.session", "served_at is outside the session's period")


def _refused(step: str, reason: str) -> WireError:
    return WireError(f"{step}: {reason}")


def _receipt_key(keyset: Keyset, key_id: str) -> Ed25519PublicKey:
    """The one Ed25519 receipt key named `key_id`, which must have no second role (ACI §3.1)."""
    found = [key for key in keyset.receipt_signing_keys if key.key_id == key_id]
    if len(found) != 1:
        raise _refused("receipt.key", "key_id does not name exactly one receipt key of the keyset")
    if found[0].algo != "ed25519":
        raise _refused("receipt.key", "the key's algorithm is not ed25519")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(hex32(found[0].public_key)))
    except (WireError, ValueError):
        raise _refused("receipt.key", "not an Ed25519 public key") from None
    spki = sha256_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).removeprefix("sha256:")
    other_roles = {key.public_key for key in keyset.e2ee_public_keys} | {key.spki_sha256 for key in keyset.tls_public_keys}
    if found[0].public_key in other_roles or spki in other_roles:
        raise _refused("receipt.key", "the key also has another role")
    return key


def _check_events(log: object) -> None:
    """Shape and order of the event log (ACI §7.3 to 7.5); types that ACI does not define are passed over."""
    if not isinstance(log, list) or not all(isinstance(event, dict) and isinstance(event.get("type"), str) for event in log):
        raise _refused("receipt.events", "event_log is not a list of events")
    types = [event["type"] for event in log]
    if types[:1] != [RECEIVED] or types.count(RECEIVED) != 1:
        raise _refused("receipt.events", "the log does not begin with its one request.received")
    if types.count(RETURNED) != 1:
        raise _refused("receipt.events", "the log has not exactly one response.returned")
    for event in log:
        try:
            if event["type"] in (RECEIVED, FORWARDED, RETURNED):
                sha256_name(text_member(event, "body_hash"))
            elif event["type"] == VERIFIED:
                _check_verified(event)
        except WireError as problem:
            raise _refused("receipt.events", problem.reason) from None


def _check_verified(event: dict[str, Any]) -> None:
    """The two forms of upstream.verified (ACI §7.5)."""
    text_member(event, "model_id")
    if not isinstance(event.get("required"), bool):
        raise WireError("required is not a boolean")
    match event.get("result"):
        case "verified":
            hex32(text_member(event, "session_id"))
        case "failed":
            text_member(event, "reason")
        case _:
            raise WireError("result is neither verified nor failed")
