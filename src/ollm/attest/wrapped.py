"""The JSON in which evidence usually comes: taken out of it by the names of the members, and believed in nothing.

{"quote": hex, "event_log": …, "app_compose": …}            dstack's guest agent; providers also call it intel_quote
{"api_version": "aci/1", "attestation": {"evidence": {…}}}  ACI's attestation report
{"cpu": {"platform": …, "report": base64}, "gpu": {…}}      Tinfoil
{"evidence": base64, "certificate": base64, "arch": …}      one NVIDIA device; also in a list, or as evidence_list
[["JWT", token], {"GPU-0": token}]                          tokens of NVIDIA's attestation service; also as detached_eat
"""

import base64
import binascii
import json
import re
from typing import Any

from ollm.attest import strict_json
from ollm.attest.evidence import CpuEvidence, DeviceEvidence, NitroEvidence, NrasEvidence, NvidiaEvidence, SnpEvidence, TdxEvidence
from ollm.attest.kinds import NOTHING, Kind, Recognised, of_bytes, of_token
from ollm.errors import EvidenceRefused

_MAX_DEVICES = 64
_MAX_JSON = 1024 * 1024  # of JSON inside a text member
_MAX_BYTES = 64 * 1024  # written as a list of numbers
_HEX = re.compile(r"(0[xX])?(?:[0-9a-fA-F]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_NONCE = re.compile(r"[0-9a-fA-F]{64}")
_NONCES = ("nonce", "request_nonce")
_QUOTES = ("quote", "intel_quote", "report", "attestation")
_SEVERAL = ("all_attestations", "model_attestations", "evidence")
_REFERENCES = {"tcbInfo", "enclaveIdentity", "tcb_info", "keys"}  # Intel's collateral, a JWK set
_DEVICES = ("evidence_list", "evidences", "gpu_evidence", "nvidia_payload", "gpu")
_REMOTE = ("REMOTE_GPU_CLAIMS", "REMOTE_SWITCH_CLAIMS")  # NVIDIA's SDK for Python puts the service's bundle into one of its own
_URL_SAFE = str.maketrans("-_", "+/")


def bytes_of_text(text: str) -> tuple[bytes, str] | None:
    """The bytes that `text` spells in hex or base64 (of either alphabet), and which it was; None if neither."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text[2:] if text[1:2] in ("x", "X") else text), "hex"
    if _BASE64.fullmatch(text):
        try:
            return base64.b64decode(text.rstrip("=").translate(_URL_SAFE) + "=" * (-len(text.rstrip("=")) % 4)), "base64"
        except (ValueError, binascii.Error):
            return None
    return None


def of_json(value: Any) -> Recognised:
    """What evidence `value`, a JSON document, holds."""
    if isinstance(value, list):
        return _of_bundle(value) or _of_devices(value)
    if not isinstance(value, dict):
        return NOTHING
    if "detached_eat" in value:
        return _of_bundle(value["detached_eat"]) or NOTHING
    return _of_aci(value) or _of_machine(value)


def cpu_evidence(data: bytes, kind: Kind, explained: dict[str, Any] | None = None) -> CpuEvidence | None:
    """`data` as evidence of its kind; `explained` has the members beside it, an event log for one."""
    if kind in (Kind.TDX_V4, Kind.TDX_V5):
        members = explained or {}
        return TdxEvidence(quote=data, event_log=_text(members.get("event_log")), app_compose=_app_compose(members))
    if kind is Kind.SNP:
        return SnpEvidence(report=data)
    return NitroEvidence(document=data) if kind is Kind.NITRO else None


def _of_aci(report: dict[str, Any]) -> Recognised | None:
    attestation = report.get("attestation")
    evidence = attestation.get("evidence") if isinstance(attestation, dict) else None
    return _of_machine(evidence) if isinstance(evidence, dict) else None


def _of_machine(members: dict[str, Any]) -> Recognised:
    """A CPU's evidence, devices', or both, out of the members of one object."""
    devices = _devices_in(members)
    nonce = _nonce(members)
    nested = members.get("cpu")
    for holder in (members, nested if isinstance(nested, dict) else {}):
        for name in _QUOTES:
            data = _bytes(holder.get(name))
            kind = of_bytes(data) if data is not None else Kind.UNKNOWN
            if data is not None and kind is not Kind.UNKNOWN:
                return Recognised(kind=kind, form="JSON", cpu=cpu_evidence(data, kind, holder), devices=devices, nonce_hint=nonce)
    if devices:
        kind = Kind.NVIDIA if isinstance(devices[0], NvidiaEvidence) else Kind.NRAS
        return Recognised(kind=kind, form="JSON", devices=devices, nonce_hint=nonce)
    if any(isinstance(members.get(name), list) and members[name] for name in _SEVERAL):
        return Recognised(kind=Kind.SEVERAL, form="JSON", nonce_hint=nonce)
    return Recognised(kind=Kind.REFERENCE, form="JSON") if _REFERENCES & members.keys() else NOTHING


def _devices_in(members: dict[str, Any]) -> tuple[DeviceEvidence, ...]:
    """Devices' evidence under the names that it usually has; one device may also be the object itself."""
    device = _device(members)
    if device is not None:
        return (device,)
    for name in _DEVICES:
        value = _parsed(members.get(name))
        if isinstance(value, dict):
            found = next((value[inner] for inner in _DEVICES if inner in value), None)
            value = _parsed(found)
        if isinstance(value, list):
            found_devices = _of_devices(value).devices or (_of_bundle(value) or NOTHING).devices
            if found_devices:
                return found_devices
    return ()


def _of_devices(entries: list[Any]) -> Recognised:
    """A list of devices' evidence: all of its entries must be that."""
    devices = tuple(_device(entry) for entry in entries[:_MAX_DEVICES] if isinstance(entry, dict))
    found = tuple(device for device in devices if device is not None)
    if not found or len(found) != len(entries):
        return NOTHING
    return Recognised(kind=Kind.NVIDIA, form="JSON", devices=found, nonce_hint=_nonce(entries[0]))


def _device(members: dict[str, Any]) -> NvidiaEvidence | None:
    report, chain = _bytes(members.get("evidence")), _bytes(members.get("certificate"))
    if report is None or chain is None or of_bytes(report) is not Kind.NVIDIA_REPORT_ALONE or of_bytes(chain) is not Kind.CERTIFICATE:
        return None
    return NvidiaEvidence(report=report, certificate_chain=chain.decode("ascii", "replace"))


def _of_bundle(value: Any, *, nested: bool = False) -> Recognised | None:
    """Tokens of NVIDIA's attestation service, or of a tool that imitates it."""
    match value:
        case [["JWT", str(overall)], dict(devices)]:
            pass
        case _:
            return None
    inner = [] if nested else [_of_bundle(devices[name], nested=True) or NOTHING for name in _REMOTE if name in devices]
    if inner:
        return Recognised(kind=inner[0].kind, form="JSON", devices=tuple(device for found in inner for device in found.devices))
    if of_token(overall) is not Kind.NVIDIA_ALONE:
        return Recognised(kind=Kind.NVIDIA_LOCAL, form="JSON")
    return Recognised(kind=Kind.NRAS, form="JSON", devices=(NrasEvidence(token=json.dumps(value).encode()),))


def _bytes(value: Any) -> bytes | None:
    """Bytes, however JSON spells them: hex, base64, or a list of numbers."""
    if isinstance(value, str):
        found = bytes_of_text(value)
        return found[0] if found is not None else None
    if isinstance(value, list) and 0 < len(value) <= _MAX_BYTES and all(type(entry) is int and 0 <= entry < 256 for entry in value):
        return bytes(value)
    return None


def _text(value: Any) -> str | None:
    """A member that is JSON, as text: some write it so, some as JSON itself."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _app_compose(members: dict[str, Any]) -> str | None:
    """The app-compose file: a member of its own, or of the guest agent's `info.tcb_info`."""
    info = members.get("info")
    tcb_info = _parsed(info.get("tcb_info")) if isinstance(info, dict) else None
    found = members.get("app_compose", tcb_info.get("app_compose") if isinstance(tcb_info, dict) else None)
    return found if isinstance(found, str) else None


def _parsed(value: Any) -> Any:
    """`value`, or the JSON that it is the text of; None if it is neither."""
    if not isinstance(value, str):
        return value
    try:
        return strict_json.parse(value, limit=_MAX_JSON, check="evidence.technology")
    except EvidenceRefused:
        return None


def _nonce(members: dict[str, Any]) -> bytes | None:
    stated = members.get("report_data")
    for holder in (members, stated if isinstance(stated, dict) else {}):
        for name in _NONCES:
            value = holder.get(name)
            if isinstance(value, str) and _NONCE.fullmatch(value):
                return bytes.fromhex(value)
    return None
