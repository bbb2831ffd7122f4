"""Checks of a signer's report beside those of its machine. Each function is one check; names as in `checks`."""

import hashlib
import hmac
import re

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ollm.attest import strict_json
from ollm.attest.dstack import eventlog
from ollm.attest.dstack.eventlog import RuntimeEvent, boot_payload
from ollm.attest.evidence import TdxEvidence
from ollm.attest.services.dstack_signer.report import Ohttp, SignerReport, address_of
from ollm.attest.tdx import layout
from ollm.errors import EvidenceRefused
from ollm.values.checks import Claims
from ollm.values.structs import resolved

_GPU = re.compile(r"device\d+_kind")
_MAX_PROVIDER = 4096


@resolved
class KeyProvider(msgspec.Struct, frozen=True):
    """Payload of dstack's boot event key-provider; `id` of a KMS is its root CA's public key, DER in hex."""

    name: str
    id: str


def check_echo(stated: str, nonce: str, check: str) -> None:
    """The report repeats our nonce. Raises: EvidenceRefused naming `check`."""
    if stated.lower() != nonce:
        raise EvidenceRefused(check, f"nonce {stated[:64]!a}", nonce)


def check_algorithm(report: SignerReport, *, seal: bool) -> None:
    """The key can be used: what bodies are sealed to is Ed25519. Raises: EvidenceRefused with signer.algorithm."""
    if seal and report.algorithm != "ed25519":
        raise EvidenceRefused("signer.algorithm", report.algorithm, "ed25519, to seal to")


def check_model(report: SignerReport, model: str | None) -> None:
    """The signer has the model that was asked for; one that names none was asked about by name. Raises: EvidenceRefused with signer.model."""
    if model is not None and report.model is not None and report.model != model:
        raise EvidenceRefused("signer.model", f"{report.model[:80]!a}", f"{model[:80]!a}")


def check_key(report: SignerReport) -> None:
    """The address is that of the key: report data name the address alone. Raises: EvidenceRefused with signer.key."""
    if report.key is None:
        return  # nobody seals to an ECDSA key, and what it signs is verified by the address
    named = report.key if report.algorithm == "ed25519" else address_of(report.key)
    if named != report.address:
        raise EvidenceRefused("signer.key", f"a key with the address {named.hex()}", report.address.hex())


def statement(address: bytes, fingerprint: bytes | None, *, channel: bool) -> bytes:
    """The first half of the report data: which key signs, and which ends the channel.

    Without a fingerprint it is the address and zeros, which binds no channel. Raises: EvidenceRefused with signer.fingerprint.
    """
    if fingerprint is not None:
        return hashlib.sha256(address + fingerprint).digest()
    if channel:
        raise EvidenceRefused("signer.fingerprint", "none", "the SHA-256 of the channel's public key")
    return address.ljust(32, b"\x00")


def runtime(cpu: TdxEvidence) -> tuple[RuntimeEvent, ...]:
    """The boot events of a machine whose log was judged already. Raises: EvidenceRefused with event_log.format when it has none."""
    if cpu.event_log is None:
        raise EvidenceRefused("event_log.format", "no event log", "one that replays to RTMR0-3")
    return eventlog.replay(eventlog.parse(cpu.event_log), layout.parse_quote(cpu.quote).td_report)


def check_app(events: tuple[RuntimeEvent, ...], accepted: tuple[str, ...] | None, check: str) -> str:
    """The application's id, one of those that the policy lists, if it lists any. Raises: EvidenceRefused naming `check`."""
    found = boot_payload(events, "app-id", check).hex()
    if accepted is not None and found not in accepted:
        raise EvidenceRefused(check, f"application {found[:64]}", f"one of {len(accepted)} listed")
    return found


def check_key_provider(events: tuple[RuntimeEvent, ...], accepted: tuple[str, ...] | None) -> KeyProvider:
    """Keys come from a KMS, and from one that the policy lists, if it lists any. Raises: EvidenceRefused with signer.key_provider."""
    check = "signer.key_provider"
    payload = boot_payload(events, "key-provider", check)
    try:
        found = msgspec.convert(strict_json.parse(payload, limit=_MAX_PROVIDER, check=check), KeyProvider)
    except msgspec.ValidationError:
        raise EvidenceRefused(check, "an event that names no key provider", "its name and id") from None
    if found.name != "kms":
        raise EvidenceRefused(check, f"keys of {found.name[:40]!a}", "of a KMS, which asks whom it gives them to")
    if accepted is not None and found.id not in accepted:
        raise EvidenceRefused(check, f"the KMS {found.id[:200]!a}", f"one of {len(accepted)} listed")
    return found


def count_gpus(claims: Claims) -> int:
    """How many GPUs were attested."""
    return sum(kind == "gpu" for name, kind in claims.extra.items() if _GPU.fullmatch(name))


def check_gpus(report: SignerReport, claims: Claims) -> None:
    """As many GPUs were attested as the machine has, by its configuration. Raises: EvidenceRefused with signer.gpus."""
    found = count_gpus(claims)
    if report.gpus is None or found != report.gpus:
        raise EvidenceRefused("signer.gpus", f"evidence of {found} GPUs", "as many as the machine's configuration names" + _number(report.gpus))


def _number(gpus: int | None) -> str:
    return "" if gpus is None else f", {gpus}"


def check_channel(fingerprint: bytes | None, peer: str | None) -> None:
    """The connection ends at the attested key. Raises: EvidenceRefused with channel.spki."""
    if fingerprint is None or peer is None or not hmac.compare_digest(fingerprint.hex(), peer):
        raise EvidenceRefused("channel.spki", peer or "no TLS", fingerprint.hex() if fingerprint is not None else "an attested key")


def check_ohttp(ohttp: Ohttp, report: SignerReport) -> None:
    """The key configuration is signed by the signer. Raises: EvidenceRefused with signer.ohttp."""
    if report.algorithm != "ed25519" or ohttp.key != report.address:
        raise EvidenceRefused("signer.ohttp", f"signed by {ohttp.key.hex()}", f"by the signer's Ed25519 key, {report.address.hex()}")
    try:
        Ed25519PublicKey.from_public_bytes(ohttp.key).verify(ohttp.signature, ohttp.config)
    except (InvalidSignature, ValueError):
        raise EvidenceRefused("signer.ohttp", "a signature over something else", "one over the key configuration") from None
