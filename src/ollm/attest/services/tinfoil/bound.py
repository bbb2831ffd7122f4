"""What a Tinfoil document states, whatever its generation, and the report data that its CPU must have signed then.

v2            [0:32] = SHA-256(SPKI of the TLS key)   [32:64] = X25519 key
v3, June 2026 [0:32] = SHA-256(tls || hpke || nonce [|| gpu hash] [|| nvswitch hash])   [32:64] = 0
v3            [0:32] = SHA-256("https://tinfoil.sh/report-data/v1" || nonce || SHA-256(crypto_material) || SHA-256(device_evidence))   [32:64] = 0

Every hash is over bytes as they were sent: JSON that is written anew may differ, and then proves nothing.

Sources: tinfoilsh/verifier, attestation; tinfoilsh/tinfoil-go, verifier/envelope; tinfoilsh/cvmimage.
"""

import base64
import hashlib
from typing import Literal, TypeVar

import msgspec

from ollm.attest import strict_json
from ollm.attest.evidence import CpuEvidence, NvidiaEvidence, SnpEvidence, TdxEvidence
from ollm.attest.services.shapes import MAX_REPORT
from ollm.errors import EvidenceRefused, WireError
from ollm.values.hexes import Hex32, hex32

FORMAT = "tinfoil.format"
ALGORITHM = "https://tinfoil.sh/report-data/v1"

_EMPTY = bytes(32)
_REPORT_DATA_OF_SNP = slice(0x50, 0x90)  # AMD 56860, ATTESTATION_REPORT
_REPORT_DATA_OF_TDX = slice(48 + 520, 48 + 584)  # Intel TDX DCAP, quote version 4: header, then TD report

_T = TypeVar("_T")


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a document states; nothing of it is proven before the CPU's report is."""

    cpu: CpuEvidence
    gpus: tuple[NvidiaEvidence, ...] = ()
    switches: tuple[NvidiaEvidence, ...] = ()
    arch: str = ""  # of the GPUs, as NVIDIA's tools name it; to ask about them with
    spki: Hex32 | None  # SHA-256 of the SubjectPublicKeyInfo of the machine's TLS key
    hpke: bytes | None  # its X25519 key
    nonce: Hex32 | None  # None: v2 has none
    report_data: bytes | None  # 64 bytes, worked out from what was sent; None: v2, whose report data are the keys themselves
    covers_devices: bool = False  # whether they commit to devices, if there are any


def v3_report_data(nonce: bytes, crypto_material: bytes, device_evidence: bytes) -> bytes:
    """What v3's CPU signs; `crypto_material` and `device_evidence` are the sections' bytes."""
    hashes = (hashlib.sha256(section).digest() for section in (crypto_material, device_evidence))
    return hashlib.sha256(b"".join((ALGORITHM.encode(), nonce, *hashes))).digest() + _EMPTY


def june_report_data(spki: Hex32, hpke: bytes, nonce: Hex32, *evidence_hashes: bytes) -> bytes:
    """What the CPU signs in v3's form of June 2026; `evidence_hashes` in the order GPUs, switches, those that are there."""
    return hashlib.sha256(b"".join((bytes.fromhex(spki), hpke, bytes.fromhex(nonce), *evidence_hashes))).digest() + _EMPTY


def v2_keys(cpu: CpuEvidence) -> tuple[Hex32, bytes | None]:
    """TLS fingerprint and X25519 key out of the report itself; no key where there are zeros."""
    match cpu:
        case SnpEvidence(report=report):
            stated = report[_REPORT_DATA_OF_SNP]
        case TdxEvidence(quote=quote):
            stated = quote[_REPORT_DATA_OF_TDX]
        case _:
            stated = b""
    if len(stated) != 64:
        raise EvidenceRefused(FORMAT, "a report that is cut off", "one with report data")
    return Hex32(stated[:32].hex()), stated[32:] if any(stated[32:]) else None


def cpu_evidence(platform: Literal["tdx", "sev-snp"], report: bytes, leaf: bytes | None = None) -> CpuEvidence:
    """`report` as evidence of `platform`; `leaf` is the AMD certificate that came with it."""
    return TdxEvidence(quote=report) if platform == "tdx" else SnpEvidence(report=report, leaf=leaf)


def decoded(data: bytes, form: type[_T]) -> _T:
    """JSON of exactly the members of `form`. Raises: EvidenceRefused with tinfoil.format."""
    strict_json.parse(data, limit=MAX_REPORT, check=FORMAT)  # refuses what the next line would read in a way of its own
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise EvidenceRefused(FORMAT, "other members than there are, or of another kind", form.__name__.strip("_")) from None


def from_base64(text: str, what: str) -> bytes:
    """The bytes of `text`, of which there is one spelling (RFC 4648 §4, padded). Raises: EvidenceRefused with tinfoil.format."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise EvidenceRefused(FORMAT, f"{what} that is empty or not in canonical base64", "RFC 4648 base64, padded")
    return data


def from_hex(text: str, what: str) -> Hex32:
    """32 bytes in lowercase hex. Raises: EvidenceRefused with tinfoil.format."""
    try:
        return hex32(text)
    except WireError:
        raise EvidenceRefused(FORMAT, f"{what} {text[:40]!a}", "64 lowercase hexadecimal characters") from None
