"""The flat report of a signer in a dstack machine, read strictly and believed in nothing.

    {"model_name": …, "signing_address": hex, "signing_algo": "ed25519" | "ecdsa", "signing_public_key": hex, "request_nonce": hex,
     "intel_quote": hex, "nvidia_payload": JSON text, "event_log": list or JSON text, "tls_cert_fingerprint": hex,
     "info": {"tcb_info": {"app_compose": text}, "vm_config": JSON text}, "compose_manager_attestation": {…},
     "ohttp_key_config": hex, "ohttp_attestation": {…}}

Members that are not named here change with every release of the providers, and are ignored; `all_attestations` repeats the report.
An Ed25519 key is its own address (32 bytes). An ECDSA address is the last 20 bytes of Keccak-256 over the 64 bytes of the point.

Sources: nearai/inference-proxy (attestation.rs), dstack-vllm-proxy, private-ai-gateway (aggregator/service/e2ee.rs).
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from ollm.attest import strict_json
from ollm.attest.composition import MAX_DEVICES
from ollm.attest.dstack.compose import MAX_COMPOSE
from ollm.attest.dstack.eventlog import MAX_LOG
from ollm.attest.dstack.keccak import keccak_256
from ollm.attest.evidence import NvidiaEvidence, TdxEvidence
from ollm.attest.services.shapes import MAX_REPORT
from ollm.attest.tdx.layout import MAX_QUOTE
from ollm.errors import EvidenceRefused
from ollm.values.structs import resolved

FORMAT = "signer.format"
_MAX_PAYLOAD = 2 * 1024 * 1024  # of eight GPUs: 98 KB
_MAX_TEXT = 64 * 1024
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_Algorithm: TypeAlias = Literal["ed25519", "ecdsa"]
_ALGORITHMS: dict[str, _Algorithm] = {"ed25519": "ed25519", "ecdsa": "ecdsa"}
_SIZES = {"ed25519": 32, "ecdsa": 20}


class Ohttp(msgspec.Struct, frozen=True):
    """A key configuration for oblivious HTTP, and the signature over it."""

    key: bytes
    config: bytes
    signature: bytes


class SignerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says. `key`: 32 bytes of Ed25519, or the 64 of a secp256k1 point where the report gives it."""

    model: str | None
    algorithm: _Algorithm
    address: bytes
    key: bytes | None
    nonce: str
    cpu: TdxEvidence
    devices: tuple[NvidiaEvidence, ...]
    architecture: str  # of the GPUs, as the report names it
    gpus: int | None  # that the machine was configured with, as its configuration says
    fingerprint: bytes | None
    manager: dict[str, Any] | None
    ohttp: Ohttp | None


class _Info(msgspec.Struct):
    tcb_info: Any = None
    vm_config: str | None = None


class _Ohttp(msgspec.Struct):
    signing_algo: str
    signing_key: str
    key_config: str
    signature: str


@resolved
class _Report(msgspec.Struct):
    signing_address: str
    signing_algo: str
    request_nonce: str
    intel_quote: str
    event_log: Any = None
    info: _Info = msgspec.field(default_factory=_Info)
    model_name: str | None = None
    signing_public_key: str | None = None
    nvidia_payload: Any = None
    tls_cert_fingerprint: str | None = None
    compose_manager_attestation: dict[str, Any] | None = None
    ohttp_key_config: str | None = None
    ohttp_attestation: _Ohttp | None = None


class _Device(msgspec.Struct):
    certificate: str
    evidence: str
    arch: str = ""


@resolved
class _Payload(msgspec.Struct):
    evidence_list: list[_Device] = []
    arch: str = ""


def parse_document(body: bytes, check: str = FORMAT) -> Any:
    """The JSON of a whole report. Raises: EvidenceRefused naming `check`."""
    return strict_json.parse(body, limit=MAX_REPORT, check=check)


def parse_report(document: Any, check: str = FORMAT) -> SignerReport:
    """The report that `document` is. Raises: EvidenceRefused naming `check`."""
    try:
        raw = msgspec.convert(document, _Report)
    except msgspec.ValidationError:
        raise EvidenceRefused(check, "JSON that is no signer's report", "the members of one") from None
    algorithm = _ALGORITHMS.get(raw.signing_algo)
    if algorithm is None:
        raise EvidenceRefused(check, f"a key of the kind {raw.signing_algo[:40]!a}", "ed25519 or ecdsa")
    address = hex_bytes(raw.signing_address, "signing_address", check, size=_SIZES[algorithm])
    payload = _payload(raw.nvidia_payload, check)
    return SignerReport(
        model=None if raw.model_name is None else limited(raw.model_name, "model_name", check),
        algorithm=algorithm,
        address=address,
        key=address if algorithm == "ed25519" and raw.signing_public_key is None else _key(raw.signing_public_key, algorithm, check),
        nonce=limited(raw.request_nonce, "request_nonce", check),
        cpu=TdxEvidence(
            quote=hex_bytes(raw.intel_quote, "intel_quote", check, most=MAX_QUOTE),
            event_log=event_log(raw.event_log, check),
            app_compose=_app_compose(raw.info.tcb_info, check),
            vm_config=None if raw.info.vm_config is None else limited(raw.info.vm_config, "vm_config", check),
        ),
        devices=tuple(_device(each, check) for each in payload.evidence_list),
        architecture=payload.arch or next((each.arch for each in payload.evidence_list), ""),
        gpus=_gpus(raw.info.vm_config, check),
        fingerprint=None if raw.tls_cert_fingerprint is None else hex_bytes(raw.tls_cert_fingerprint, "tls_cert_fingerprint", check, size=32),
        manager=raw.compose_manager_attestation,
        ohttp=_ohttp(raw, check),
    )


def address_of(point: bytes) -> bytes:
    """The address of a secp256k1 key, from the 64 bytes of its point (Ethereum yellow paper, appendix F)."""
    return keccak_256(point)[-20:]


def hex_bytes(text: str, what: str, check: str, *, size: int | None = None, most: int = 4096) -> bytes:
    """The bytes of a member in hex, of either case and with or without 0x. Raises: EvidenceRefused naming `check`."""
    bare = text[:2].replace("0x", "") + text[2:]
    limit = most if size is None else size
    if len(bare) > 2 * limit or not _HEX.fullmatch(bare.lower()) or (size is not None and len(bare) != 2 * size):
        wanted = f"at most {most}" if size is None else str(size)
        raise EvidenceRefused(check, f"{what} of {len(bare)} characters", f"hex of {wanted} bytes")
    return bytes.fromhex(bare)


def event_log(value: Any, check: str) -> str | None:
    """An event log as text: some write it so, some as a list. Raises: EvidenceRefused naming `check`."""
    text = value if value is None or isinstance(value, str) else json.dumps(value)
    if text is not None and len(text) > MAX_LOG:
        raise EvidenceRefused(check, f"event log of {len(text)} characters", f"at most {MAX_LOG}")
    return text


def limited(text: str, what: str, check: str) -> str:
    """A text of a bearable length. Raises: EvidenceRefused naming `check`."""
    if len(text) > _MAX_TEXT:
        raise EvidenceRefused(check, f"{what} of {len(text)} characters", f"at most {_MAX_TEXT}")
    return text


def _key(text: str | None, algorithm: str, check: str) -> bytes | None:
    if text is None:
        return None
    if algorithm == "ed25519":
        return hex_bytes(text, "signing_public_key", check, size=32)
    key = hex_bytes(text, "signing_public_key", check, most=65)
    if len(key) == 65 and key[0] == 4:  # SEC 1 §2.3.3: uncompressed
        key = key[1:]
    if len(key) != 64:
        raise EvidenceRefused(check, f"signing_public_key of {len(key)} bytes", "a point, 64 bytes")
    return key


def _app_compose(tcb_info: Any, check: str) -> str | None:
    document = strict_json.parse(tcb_info, limit=MAX_REPORT, check=check) if isinstance(tcb_info, str) else tcb_info
    found = document.get("app_compose") if isinstance(document, dict) else None
    if found is not None and not isinstance(found, str):
        raise EvidenceRefused(check, "an app_compose that is no text", "the text that was measured")
    if found is not None and len(found) > MAX_COMPOSE:
        raise EvidenceRefused(check, f"app_compose of {len(found)} characters", f"at most {MAX_COMPOSE}")
    return found


def _gpus(vm_config: str | None, check: str) -> int | None:
    if vm_config is None:
        return None
    document = strict_json.parse(vm_config, limit=_MAX_TEXT, check=check)
    number = document.get("num_gpus") if isinstance(document, dict) else None
    return number if type(number) is int else None


def _payload(value: Any, check: str) -> _Payload:
    """GPUs' evidence; absent, empty, or with an empty list: there is none."""
    document = strict_json.parse(value, limit=_MAX_PAYLOAD, check=check) if isinstance(value, str) and value else value
    if not document:
        return _Payload()
    try:
        payload = msgspec.convert(document, _Payload)
    except msgspec.ValidationError:
        raise EvidenceRefused(check, "an nvidia_payload that is none", "a list of GPUs' evidence") from None
    if len(payload.evidence_list) > MAX_DEVICES:
        raise EvidenceRefused(check, f"evidence of {len(payload.evidence_list)} GPUs", f"at most {MAX_DEVICES}")
    return payload


def _device(device: _Device, check: str) -> NvidiaEvidence:
    report, chain = (_base64(text, check) for text in (device.evidence, device.certificate))
    if not chain.isascii():
        raise EvidenceRefused(check, "a GPU's certificates in bytes", "PEM")
    return NvidiaEvidence(report=report, certificate_chain=chain.decode("ascii"))


def _base64(text: str, check: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise EvidenceRefused(check, "evidence of a GPU that is not base64", "base64") from None


def _ohttp(raw: _Report, check: str) -> Ohttp | None:
    stated = raw.ohttp_attestation
    if stated is None:
        return None
    if stated.signing_algo != "ed25519" or stated.key_config != raw.ohttp_key_config:
        raise EvidenceRefused(check, "an ohttp_attestation of another key or configuration", "Ed25519, over the ohttp_key_config")
    return Ohttp(
        hex_bytes(stated.signing_key, "ohttp signing_key", check, size=32),
        hex_bytes(stated.key_config, "ohttp key_config", check),
        hex_bytes(stated.signature, "ohttp signature", check, size=64),
    )


def members(document: Any) -> Mapping[str, Any]:
    """The members of a JSON object; none of anything else."""
    return document if isinstance(document, dict) else {}
