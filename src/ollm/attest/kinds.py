"""Kinds of attestation evidence, told by the first bytes or by the claims that say what a token is.

Nothing is verified here, and nothing is believed: a kind only says which verifier to ask.
"""

import enum
import json
import re
from typing import Any

import msgspec

from ollm.attest.evidence import CpuEvidence, DeviceEvidence
from ollm.attest.tokens.jws import decode_base64url


class Kind(enum.StrEnum):
    """What a file holds, in words for people."""

    TDX_V4 = "Intel TDX quote, version 4"
    TDX_V5 = "Intel TDX quote, version 5"
    SNP = "AMD SEV-SNP report"
    NITRO = "AWS Nitro document"
    NVIDIA = "NVIDIA device evidence"
    NRAS = "tokens of NVIDIA's attestation service"
    SEVERAL = "a report about several machines"
    NVIDIA_REPORT_ALONE = "an NVIDIA device report without its certificates"
    NVIDIA_LOCAL = "tokens that NVIDIA's tools wrote themselves"
    NVIDIA_ALONE = "one token of NVIDIA's attestation service without its bundle"
    SGX = "Intel SGX quote"
    TPM = "TPM quote"
    HCL = "Azure's wrapped report (HCL)"
    DSTACK_SCALE = "dstack's binary attestation (SCALE)"
    GOOGLE = "Google Confidential Space token"
    AZURE = "Microsoft Azure Attestation token"
    INTEL = "Intel Trust Authority token"
    EAR = "another verifier's attestation result (EAR)"
    UNSIGNED = "a token that nobody signed"
    OTHER_ISSUER = "a token of an issuer that is not known"
    EVENT_LOG = "an event log"
    CERTIFICATE = "a certificate or a list of revoked ones"
    REFERENCE = "a vendor's reference values or keys"
    UNKNOWN = "nothing that is known"


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. Its parts are decoded, and not verified."""

    kind: Kind
    form: str = "bytes"  # how it was written: bytes, hex, base64, JSON or token
    cpu: CpuEvidence | None = None
    devices: tuple[DeviceEvidence, ...] = ()
    nonce_hint: bytes | None = None  # 32 bytes that the file calls its nonce: proves nothing, but saves typing


NOTHING = Recognised(kind=Kind.UNKNOWN)

_INTEL_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_SNP_SIZE = 1184
_COMPACT_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_MAX_TOKEN = 64 * 1024  # characters; Google's have 11,000
_BEGINNINGS = (
    (b"\x84\x44\xa1\x01", Kind.NITRO),  # COSE_Sign1 whose protected header names an algorithm
    (b"\xd2\x84\x44\xa1\x01", Kind.NITRO),  # the same with its tag
    (b"\x11\xe0\x01", Kind.NVIDIA_REPORT_ALONE),  # SPDM 1.1 GET_MEASUREMENTS with a signature
    (b"HCLA", Kind.HCL),
    (b"\xffTCG", Kind.TPM),  # TPM_GENERATED_VALUE
    (b"-----BEGIN CERTIFICATE-----", Kind.CERTIFICATE),
    (b"\x30\x82", Kind.CERTIFICATE),  # DER
)
_REFERENCE = b"SoftwareIdentity"  # root element of a RIM (ISO/IEC 19770-2)
_EVENT_LOG = b"Spec ID Event03"  # the first event of a TCG log
_SCALE_VARIANTS = 8  # of dstack's attestation; 0 TDX, 2 Nitro, 3 SEV-SNP were seen


def of_bytes(data: bytes) -> Kind:
    """The kind of binary evidence that `data` begins like."""
    if data[12:28] == _INTEL_QE_VENDOR:
        return _of_quote(data)
    if len(data) == _SNP_SIZE and 2 <= int.from_bytes(data[:4], "little") <= 16 and int.from_bytes(data[52:56], "little") == 1:
        return Kind.SNP
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    if _EVENT_LOG in data[:64]:
        return Kind.EVENT_LOG
    if _REFERENCE in data[:512]:
        return Kind.REFERENCE
    return Kind.DSTACK_SCALE if _is_scale(data) else Kind.UNKNOWN


def _of_quote(data: bytes) -> Kind:
    version, tee_type = int.from_bytes(data[:2], "little"), int.from_bytes(data[4:8], "little")
    if tee_type == 0x81:
        return {4: Kind.TDX_V4, 5: Kind.TDX_V5}.get(version, Kind.UNKNOWN)
    return Kind.SGX if version == 3 or tee_type == 0 else Kind.UNKNOWN


def _is_scale(data: bytes) -> bool:
    """dstack's: version 0, a variant, a compact length (SCALE codec, two or four bytes), then evidence of a kind that is known."""
    if len(data) < 8 or data[0] != 0 or data[1] >= _SCALE_VARIANTS:
        return False
    start = {1: 4, 2: 6}.get(data[2] & 3)
    if start is None:
        return False
    size = int.from_bytes(data[2:start], "little") >> 2
    return of_bytes(data[start : start + size]) in (Kind.TDX_V4, Kind.TDX_V5, Kind.SNP, Kind.NITRO)


def of_token(text: str) -> Kind | None:
    """The kind of token that `text` is, by what it says of itself; None if it is no token."""
    if len(text) > _MAX_TOKEN or not _COMPACT_TOKEN.fullmatch(text):
        return None
    header, payload = (_members(segment) for segment in text.split(".")[:2])
    if header is None or payload is None:
        return None
    issuer = str(payload.get("iss"))
    if header.get("alg") == "none":
        return Kind.UNSIGNED
    if issuer == "https://confidentialcomputing.googleapis.com":
        return Kind.GOOGLE
    if issuer.endswith(".attest.azure.net") or "x-ms-attestation-type" in payload:
        return Kind.AZURE
    if issuer.endswith(".trustauthority.intel.com"):
        return Kind.INTEL
    if issuer.startswith("https://nras."):
        return Kind.NVIDIA_ALONE
    return Kind.EAR if "ear" in str(payload.get("eat_profile")) else Kind.OTHER_ISSUER


def _members(segment: str) -> dict[str, Any] | None:
    data = decode_base64url(segment)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
