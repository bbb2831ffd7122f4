"""v3: what the CPU's report data commit to are two sections, carried in base64 so that everybody hashes the same bytes.

    {"format", "challenge": {"nonce", "report_data", "report_data_algorithm"},
     "cpu_evidence": {"format", "report_base64", "endorsed": {"crypto_material_hash", "device_evidence_hash"}},
     "crypto_material": base64 of {"format", "items": [{"id", "format", "data"}]},
     "device_evidence": base64 of {"format", "items": [{"id", "kind", "vendor", "format", "evidence"}]},
     "collateral": [{"id", "role", "format", "subjects"?, "data"}]}

Unknown members are refused everywhere but inside what others wrote (a device's tool, Sigstore). Keys and devices of kinds that are
unknown here are left out, so they satisfy no demand. Collateral proves nothing for being in the document: bundles are verified, and a
certificate from it is judged like one that AMD sent.

Source: tinfoilsh/tinfoil-go, verifier/envelope; tinfoilsh/cvmimage.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from ollm.attest.services.tinfoil import devices
from ollm.attest.services.tinfoil.bound import ALGORITHM, FORMAT, Stated, cpu_evidence, decoded, from_base64, from_hex, v3_report_data
from ollm.attest.services.tinfoil.document_june import FORMAT_URI
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32
from ollm.values.structs import resolved

CRYPTO_MATERIAL = "https://tinfoil.sh/crypto-material/v1"
DEVICE_EVIDENCE = "https://tinfoil.sh/device-evidence/v1"
SPKI_DIGEST = "https://tinfoil.sh/key/spki-fp-sha256/v1"
SPKI = "https://tinfoil.sh/key/spki/v1"
X25519 = "https://tinfoil.sh/key/x25519-hpke/v1"
GPU = "https://tinfoil.sh/format/nvidia-gpu-evidence/v1"
SWITCHES = "https://tinfoil.sh/format/nvidia-nvswitch-evidence/v1"
VCEK = "https://tinfoil.sh/collateral/amd-vcek/v1"

_CPUS: Mapping[str, Literal["tdx", "sev-snp"]] = {
    "https://tinfoil.sh/format/tdx-quote/v1": "tdx",
    "https://tinfoil.sh/format/sev-snp-report/v1": "sev-snp",
}
_BUNDLES = tuple(f"https://tinfoil.sh/collateral/{name}/v1" for name in ("sigstore-code", "sigstore-platform", "sigstore-freshness"))
_SECTIONS = "tinfoil.sections"
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_REPORT_DATA = re.compile(r"[0-9a-f]{128}")


class _Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nonce: str
    report_data: str
    report_data_algorithm: str


class _Endorsed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    crypto_material_hash: str
    device_evidence_hash: str


class _Cpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    report_base64: str
    endorsed: _Endorsed


class _Collateral(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    role: Literal["endorsement", "reference-values"]
    format: str
    data: msgspec.Raw
    subjects: tuple[str, ...] = ()


@resolved
class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    challenge: _Challenge
    cpu_evidence: _Cpu
    crypto_material: str
    device_evidence: str
    collateral: tuple[_Collateral, ...]


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    format: str
    data: str


@resolved
class _Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    items: tuple[_Key, ...]


class _Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    kind: str
    vendor: str
    format: str
    evidence: msgspec.Raw


@resolved
class _Devices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    items: tuple[_Device, ...]


class _Vcek(msgspec.Struct, frozen=True):
    vcek_der_base64: str


class _Bundle(msgspec.Struct, frozen=True):
    repo: str
    sigstore_bundle: msgspec.Raw


class V3(msgspec.Struct, frozen=True, kw_only=True):
    """A document of v3, its parts decoded."""

    stated: Stated
    hashes: tuple[tuple[str, str, str], ...]  # name, as stated, as computed


def parse(report: bytes) -> V3:
    """What the document states. Raises: EvidenceRefused with tinfoil.format."""
    document = decoded(report, _Document)
    for got, want in ((document.format, FORMAT_URI), (document.challenge.report_data_algorithm, ALGORITHM)):
        _expect(got, want)
    nonce = from_hex(document.challenge.nonce, "nonce")
    if not _REPORT_DATA.fullmatch(document.challenge.report_data):
        raise EvidenceRefused(FORMAT, "report_data of another length or spelling", "128 lowercase hexadecimal characters")
    keys, evidence = from_base64(document.crypto_material, "crypto_material"), from_base64(document.device_evidence, "device_evidence")
    spki, hpke = _keys(keys)
    report_data = v3_report_data(bytes.fromhex(nonce), keys, evidence)
    items = _devices(evidence)
    gpus = tuple(devices.gpu(bytes(item.evidence)) for item in items if item.format == GPU)
    platform = _CPUS.get(document.cpu_evidence.format)
    if platform is None:
        raise EvidenceRefused(FORMAT, f"a CPU's evidence of format {document.cpu_evidence.format[:80]!a}", " or ".join(_CPUS))
    _distinct(entry.id for entry in document.collateral)
    stated = Stated(
        cpu=cpu_evidence(platform, from_base64(document.cpu_evidence.report_base64, "a report"), _leaf(document.collateral)),
        gpus=tuple(gpu for gpu, _ in gpus),
        switches=tuple(switch for item in items if item.format == SWITCHES for switch in devices.switches(bytes(item.evidence))),
        arch=gpus[0][1] if gpus else "",
        spki=spki,
        hpke=hpke,
        nonce=nonce,
        report_data=report_data,
        covers_devices=True,
    )
    endorsed = document.cpu_evidence.endorsed
    hashes = (
        ("crypto_material", from_hex(endorsed.crypto_material_hash, "crypto_material_hash"), hashlib.sha256(keys).hexdigest()),
        ("device_evidence", from_hex(endorsed.device_evidence_hash, "device_evidence_hash"), hashlib.sha256(evidence).hexdigest()),
        ("report_data", document.challenge.report_data, report_data.hex()),
    )
    return V3(stated=stated, hashes=hashes)


def check_sections(document: V3) -> None:
    """What the document says of its own bytes is true. Raises: EvidenceRefused with tinfoil.sections."""
    for name, stated, computed in document.hashes:
        if stated != computed:
            raise EvidenceRefused(_SECTIONS, f"{name}: {stated} stated", f"{computed}, of what was sent")


def bundles(report: bytes, repositories: Collection[str]) -> tuple[bytes, ...]:
    """The Sigstore bundles that the document carries, of those that it says are of `repositories`: a name for choosing, not believed.

    Raises: EvidenceRefused with tinfoil.format.
    """
    carried = (decoded(bytes(entry.data), _Bundle) for entry in decoded(report, _Document).collateral if entry.format in _BUNDLES)
    return tuple(bytes(entry.sigstore_bundle) for entry in carried if entry.repo in repositories)


def _keys(section: bytes) -> tuple[Hex32 | None, bytes | None]:
    """Fingerprint of the TLS key, and the key to seal to."""
    keys = decoded(section, _Keys)
    _expect(keys.format, CRYPTO_MATERIAL)
    _distinct(item.id for item in keys.items)
    spki: Hex32 | None = None
    hpke: bytes | None = None
    for item in keys.items:
        if not _HEX.fullmatch(item.data):
            raise EvidenceRefused(FORMAT, "a key that is empty or not in lowercase hex", "lowercase hexadecimal characters")
        match item.id, item.format:
            case "tls", "https://tinfoil.sh/key/spki-fp-sha256/v1":
                spki = from_hex(item.data, "a fingerprint")
            case "tls", "https://tinfoil.sh/key/spki/v1":
                spki = Hex32(hashlib.sha256(bytes.fromhex(item.data)).hexdigest())
            case "hpke", "https://tinfoil.sh/key/x25519-hpke/v1":
                hpke = bytes.fromhex(from_hex(item.data, "an X25519 key"))
            case _:
                pass  # of a kind, or for a use, that is unknown here
    return spki, hpke


def _devices(section: bytes) -> tuple[_Device, ...]:
    evidence = decoded(section, _Devices)
    _expect(evidence.format, DEVICE_EVIDENCE)
    _distinct(item.id for item in evidence.items)
    return evidence.items


def _leaf(collateral: tuple[_Collateral, ...]) -> bytes | None:
    """AMD's certificate of the CPU's key, where the document carries one: saves asking AMD for it."""
    for entry in collateral:
        if entry.format == VCEK and entry.subjects in ((), ("cpu",)):
            return from_base64(decoded(bytes(entry.data), _Vcek).vcek_der_base64, "a VCEK")
    return None


def _distinct(ids: Iterable[str]) -> None:
    names = tuple(ids)
    if "" in names or len(set(names)) != len(names):
        raise EvidenceRefused(FORMAT, "an id that is empty, or there twice", "each once")


def _expect(got: str, want: str) -> None:
    if got != want:
        raise EvidenceRefused(FORMAT, f"{got[:80]!a}", want)
