"""ACI/1 attestation report: parsed strictly, its keyset judged, and bound to the quote and to the channel (ACI §3 to §5).

Nothing in the report is signed as a whole. What makes it true is that the quote's report data commits to the digest of the
keyset and to our nonce; every other member (also `report_data` and `quote_report_data`, which merely repeat) is a claim.
"""

import re
from typing import Any

import msgspec

from ollm.attest import strict_json
from ollm.attest.dstack.eventlog import MAX_LOG
from ollm.attest.evidence import AciEvidence
from ollm.attest.tdx.layout import MAX_QUOTE, TdReport
from ollm.errors import EvidenceRefused, WireError
from ollm.values.aci import API_VERSION, E2EE_ALGOS, HPKE_ALGO, Keyset, parse_keyset, report_data
from ollm.values.hexes import Hex32, Sha256, hex32
from ollm.values.structs import resolved

MAX_REPORT = 4 * 1024 * 1024  # real ones have 270 to 530 KB
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_FORMAT = "report.format"
_SUITE = bytes.fromhex("000400010002")  # 4 bytes of suites: HKDF-SHA256, AES-256-GCM
_POINT = dict(zip(E2EE_ALGOS, (re.compile("[0-9a-f]{64}"), re.compile("(?:04)?[0-9a-f]{128}")), strict=True))
_KEM = bytes.fromhex("0020")  # DHKEM(X25519, HKDF-SHA256)


class Report(msgspec.Struct, frozen=True):
    """The members of a report that we read. `keyset` is the parsed document, judged in `check_keyset`."""

    tee_type: str
    keyset: Any
    keyset_digest: str
    quote: bytes
    event_log: str | None
    app_compose: str | None
    vm_config: str | None = None


class _Evidence(msgspec.Struct):
    quote: str
    event_log: str | None = None
    app_compose: str | None = None
    vm_config: Any = None


class _Attestation(msgspec.Struct):
    tee_type: str
    workload_keyset: dict[str, Any]
    evidence: _Evidence


@resolved
class _Report(msgspec.Struct):
    api_version: str
    workload_keyset_digest: str
    attestation: _Attestation


def parse_report(body: bytes) -> Report:
    """Parse a report. Members that ACI doesn't name are ignored, as it demands. Raises: EvidenceRefused with report.format or report.version."""
    document = strict_json.parse(body, limit=MAX_REPORT, check=_FORMAT)
    _check_version(document)
    try:
        report = msgspec.convert(document, _Report)
    except msgspec.ValidationError:
        raise EvidenceRefused(_FORMAT, "JSON that is no attestation report", "the members of ACI/1 §4") from None
    attestation, evidence = report.attestation, report.attestation.evidence
    if attestation.tee_type != "tdx":
        raise EvidenceRefused("report.version", f"TEE type {attestation.tee_type[:40]!a}", "tdx")
    if len(evidence.quote) > 2 * MAX_QUOTE:
        raise EvidenceRefused(_FORMAT, f"quote of {len(evidence.quote)} hex characters", f"at most {2 * MAX_QUOTE}")
    if not _HEX.fullmatch(evidence.quote):
        raise EvidenceRefused(_FORMAT, "a quote that is not lowercase hex", "lowercase hex")
    if evidence.event_log is not None and len(evidence.event_log) > MAX_LOG:
        raise EvidenceRefused(_FORMAT, f"event log of {len(evidence.event_log)} characters", f"at most {MAX_LOG}")
    return Report(
        attestation.tee_type,
        attestation.workload_keyset,
        report.workload_keyset_digest,
        bytes.fromhex(evidence.quote),
        evidence.event_log,
        evidence.app_compose,
        evidence.vm_config if isinstance(evidence.vm_config, str) else None,
    )


def _check_version(document: Any) -> None:
    if not isinstance(document, dict):
        raise EvidenceRefused(_FORMAT, "JSON that is no object", "an object")
    version = document.get("api_version")
    if version != API_VERSION:
        raise EvidenceRefused("report.version", f"api_version {str(version)[:40]!a}", API_VERSION)
    if "workload_id" in document:  # the form before August 2026 had the same api_version, another statement and no subject
        raise EvidenceRefused("report.version", "the form of ACI that has workload_id", "the present form")


def check_keyset(document: Any) -> tuple[Keyset, Sha256]:
    """The keyset and the digest of exactly what was received. Raises: EvidenceRefused with keyset.format."""
    try:
        keyset, digest = parse_keyset(document)
        keys = [hex32(key.public_key) for key in keyset.receipt_signing_keys if key.algo == "ed25519"]
        keys += [hex32(key.public_key) for key in keyset.e2ee_public_keys if key.algo == HPKE_ALGO]
        for tls_key in keyset.tls_public_keys:
            hex32(tls_key.spki_sha256)
    except WireError as error:
        raise EvidenceRefused("keyset.format", error.reason, "a keyset as in ACI/1 §3.1") from None
    if not any(key.algo == "ed25519" for key in keyset.receipt_signing_keys):
        raise EvidenceRefused("keyset.format", "no Ed25519 receipt key", "at least one")
    if len(set(keys)) != len(keys):
        raise EvidenceRefused("keyset.format", "one key in two places", "one role for each key")
    return keyset, digest


def check_digest(stated: str, computed: Sha256) -> None:
    """The report names its own keyset. Raises: EvidenceRefused with keyset.digest."""
    if stated != computed:
        raise EvidenceRefused("keyset.digest", f"{stated[:80]!a} stated", computed)


def check_expiry(keyset: Keyset, now: int, max_seconds: int) -> None:
    """The keyset has not ended, and its end is plausible (ACI §3.1). Raises: EvidenceRefused with keyset.expiry."""
    if keyset.not_after <= now:
        raise EvidenceRefused("keyset.expiry", f"ended {now - keyset.not_after} s ago", "a keyset that is valid")
    if keyset.not_after > now + max_seconds:
        raise EvidenceRefused("keyset.expiry", f"valid for another {keyset.not_after - now} s", f"at most {max_seconds} s")


def check_report_data(report: TdReport, digest: Sha256, nonce: Hex32) -> None:
    """The quote commits to this keyset and to the nonce that we sent. Raises: EvidenceRefused with binding.report_data."""
    wanted = report_data(digest, nonce)
    if report.report_data != wanted:
        raise EvidenceRefused("binding.report_data", report.report_data.hex(), f"{wanted.hex()}, for this keyset and our nonce")


def check_spki(keyset: Keyset, evidence: AciEvidence) -> Hex32:
    """The key of the TLS peer is one of the keyset's. Raises: EvidenceRefused with channel.spki."""
    listed = [key.spki_sha256 for key in keyset.tls_public_keys]
    if evidence.peer_spki_sha256 is None:
        raise EvidenceRefused("channel.spki", "no TLS peer", "a key that the keyset lists")
    if evidence.peer_spki_sha256 not in listed:
        raise EvidenceRefused("channel.spki", evidence.peer_spki_sha256, " or ".join(listed[:4]) or "a key; the keyset lists none")
    return evidence.peer_spki_sha256


def check_field_key(keyset: Keyset) -> tuple[str, bytes]:
    """Algorithm and key of ACI's field encryption, version 2: of the suites that the keyset has, the one that we take first.

    Raises: EvidenceRefused with channel.field_key.
    """
    check = "channel.field_key"
    for algo in E2EE_ALGOS:
        listed = [key.public_key for key in keyset.e2ee_public_keys if key.algo == algo]
        if len(listed) > 1:
            raise EvidenceRefused(check, f"{len(listed)} keys of {algo}", "one")
        if not listed:
            continue
        others = [key.public_key for key in keyset.receipt_signing_keys] + [key.public_key for key in keyset.e2ee_public_keys if key.algo != algo]
        if not _POINT[algo].fullmatch(listed[0]) or listed[0] in others:
            raise EvidenceRefused(check, f"a key of {algo} that is malformed, or has another role too", "one key for it, in lowercase hex")
        return algo, bytes.fromhex(listed[0])
    raise EvidenceRefused(check, ", ".join(key.algo[:40] for key in keyset.e2ee_public_keys[:4]) or "no key for sealing", " or ".join(E2EE_ALGOS))


def check_hpke_key(keyset: Keyset, key_config: bytes | None) -> bytes:
    """The key served for sealing is the keyset's. Raises: EvidenceRefused with channel.hpke_key.

    `key_config` is one RFC 9458 §3.1 configuration, 41 bytes: key id, KEM, X25519 key, suites.
    """
    attested = keyset.hpke_key()  # its form was judged in check_keyset
    if attested is None:
        raise EvidenceRefused("channel.hpke_key", "no key for sealing in the keyset", "one, as the route seals")
    if key_config is None:
        raise EvidenceRefused("channel.hpke_key", "no key configuration served", "the keyset's key")
    if len(key_config) != 41 or key_config[1:3] != _KEM or key_config[35:] != _SUITE:
        raise EvidenceRefused("channel.hpke_key", "another key configuration", "one X25519, HKDF-SHA256 and AES-256-GCM configuration")
    if key_config[3:35] != attested:
        raise EvidenceRefused("channel.hpke_key", f"{key_config[3:35].hex()} served", attested.hex())
    return attested
