"""NVIDIA devices' evidence inside Tinfoil's documents, as the tools wrote it that collected it.

    {"arch": "HOPPER", "certificate": base64 of PEM, "evidence": base64 of the SPDM exchange, "nonce": hex}

A switch's is what NVIDIA's `nvattest` prints: {"evidences": […], "result_code": 0, …}. What else its tools write beside is for people.
"""

from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import NvidiaEvidence
from ollm.attest.services.tinfoil.bound import FORMAT, decoded, from_base64
from ollm.errors import EvidenceRefused
from ollm.values.structs import resolved

_MAX_ENTRIES = 64


class _Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    arch: str
    certificate: str
    evidence: str
    nonce: str  # an echo: what was signed stands in `evidence`


@resolved
class _Gpus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    evidences: tuple[_Gpu, ...]


class _Device(msgspec.Struct, frozen=True):
    certificate: str
    evidence: str


@resolved
class _Collected(msgspec.Struct, frozen=True):
    evidences: tuple[_Device, ...]


def gpu(raw: bytes) -> tuple[NvidiaEvidence, str]:
    """One GPU and its architecture. Raises: EvidenceRefused with tinfoil.format."""
    entry = decoded(raw, _Gpu)
    return _evidence(entry), entry.arch


def gpus(raw: bytes) -> tuple[tuple[NvidiaEvidence, ...], str]:
    """All GPUs of a machine, and the architecture of the first. Raises: EvidenceRefused with tinfoil.format."""
    entries = decoded(raw, _Gpus).evidences
    return _all(entries), entries[0].arch


def switches(raw: bytes) -> tuple[NvidiaEvidence, ...]:
    """All NVSwitches of a machine. Raises: EvidenceRefused with tinfoil.format."""
    return _all(decoded(raw, _Collected).evidences)


def _all(entries: Sequence[_Gpu | _Device]) -> tuple[NvidiaEvidence, ...]:
    if not 0 < len(entries) <= _MAX_ENTRIES:
        raise EvidenceRefused(FORMAT, f"{len(entries)} devices", f"1 to {_MAX_ENTRIES}")
    return tuple(_evidence(entry) for entry in entries)


def _evidence(entry: _Gpu | _Device) -> NvidiaEvidence:
    chain = from_base64(entry.certificate, "a certificate chain")
    if not chain.isascii():
        raise EvidenceRefused(FORMAT, "a certificate chain that is no PEM", "PEM")
    return NvidiaEvidence(report=from_base64(entry.evidence, "a device's evidence"), certificate_chain=chain.decode("ascii"))
