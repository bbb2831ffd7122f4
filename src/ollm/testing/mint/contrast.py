"""A Contrast deployment that is software: a coordinator's attestation in its true format, its manifest, its mesh of certificates.

    deployment = Deployment(SnpCoordinator(SnpMachine(…)), now)     or TdxCoordinator(SimulatedMachine(…))
    deployment.answer(nonce)                                        what Privatemode's API answers to /privatemode/v1/attest

Messages of Protocol Buffers are written here by hand, from the vendors' definitions, so that what reads them is not tested against itself.
Private keys protect nothing.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ollm.attest.evidence import CpuCollateral
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.x509 import DAY, Authority, create_root, issue
from ollm.values.hexes import Hex32

COORDINATOR_POLICY = hashlib.sha256(b"package coordinator").hexdigest()
SECRET_POLICY = hashlib.sha256(b"package secret_service").hexdigest()
WORKLOAD_POLICY = hashlib.sha256(b"package workload").hexdigest()
SERVICE_NAME = "secret.example"
WORKLOAD = "continuum-etcd-client"
SNP_TYPE, TDX_TYPE = [1, 3, 9901, 2, 1], [1, 3, 9901, 2, 2]

Manifest = dict[str, Any]


# --- Protocol Buffers ----------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """A number, seven bits to a byte."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | bytes) -> bytes:
    """One field; a number that is zero is left out, as the format does."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    return varint(number << 3 | 2) + varint(len(value)) + value


def _le(data: bytes) -> int:
    return int.from_bytes(data, "little")


def snp_report(report: bytes) -> bytes:
    """A report of 1184 bytes as sevsnp.Report."""
    family, model, stepping = report[0x188:0x18B]
    extended = max(family - 0xF, 0)
    eax = extended << 20 | model >> 4 << 16 | (family - extended) << 8 | (model & 0xF) << 4 | stepping
    numbers = {1: (0, 4), 2: (4, 4), 3: (8, 8), 6: (0x30, 4), 7: (0x34, 4), 8: (0x38, 8), 9: (0x40, 8), 10: (0x48, 4), 18: (0x180, 8)}
    numbers |= {20: (0x1E0, 8), 21: (0x1E8, 1), 22: (0x1E9, 1), 23: (0x1EA, 1), 24: (0x1EC, 1), 25: (0x1ED, 1), 26: (0x1EE, 1)}
    numbers |= {27: (0x1F0, 8), 30: (0x1F8, 8), 31: (0x200, 8)}
    octets = {4: (0x10, 16), 5: (0x20, 16), 11: (0x50, 64), 12: (0x90, 48), 13: (0xC0, 32), 14: (0xE0, 48), 15: (0x110, 48)}
    octets |= {16: (0x140, 32), 17: (0x160, 32), 19: (0x1A0, 64), 28: (0x2A0, 512)}
    fields: dict[int, int | bytes] = {number: _le(report[at : at + size]) for number, (at, size) in numbers.items()}
    fields |= {number: report[at : at + size] for number, (at, size) in octets.items()} | {29: eax}
    return b"".join(field(number, fields[number]) for number in sorted(fields))


def snp_attestation(report: bytes, leaf: bytes | None) -> bytes:
    """sevsnp.Attestation, with a VCEK and a CRL beside it as Contrast's issuer sends them; the CRL here is nobody's."""
    extra = field(1, b"SNP CRL") + field(2, b"not a CRL")
    chain = field(2, field(1, leaf) + field(2, b"ask") + field(3, b"ark") + field(7, extra) + field(7, extra)) if leaf is not None else b""
    return field(1, snp_report(report)) + chain + field(3, field(1, 2) + field(3, b""))


def tdx_quote(quote: bytes) -> bytes:
    """A quote of version 4 as tdx.QuoteV4, with some padding behind it."""
    sizes = (16, 48, 48, 8, 8, 8, 48, 48, 48, 48)
    head: list[int | bytes] = [_le(quote[:2]), _le(quote[2:4]), _le(quote[4:8]), quote[10:12], quote[8:10], quote[12:28], quote[28:48]]
    body: list[int | bytes] = []
    at = 48
    for size in sizes:
        body.append(quote[at : at + size])
        at += size
    rtmrs = [quote[at + 48 * index : at + 48 * (index + 1)] for index in range(4)]
    signed = quote[636 : 636 + _le(quote[632:636])]
    enclave: list[int | bytes] = []
    offset = 134
    for size in (16, -4, 28, 16, 32, 32, 32, 96, -2, -2, 60, 64):
        part = signed[offset : offset + abs(size)]
        enclave.append(_le(part) if size < 0 else part)
        offset += abs(size)
    chain_at = 584 + _le(signed[582:584])
    authentication = field(1, _le(signed[582:584])) + field(2, signed[584:chain_at])
    chain = field(1, _le(signed[chain_at : chain_at + 2])) + field(2, _le(signed[chain_at + 2 : chain_at + 6])) + field(3, signed[chain_at + 6 :])
    inner = field(1, _numbered(enclave)) + field(2, signed[518:582]) + field(3, authentication) + field(4, chain)
    certification = field(1, _le(signed[128:130])) + field(2, _le(signed[130:134])) + field(3, inner)
    report = _numbered(body) + b"".join(field(11, rtmr) for rtmr in rtmrs) + field(12, quote[568:632])
    signature = field(1, signed[:64]) + field(2, signed[64:128]) + field(3, certification)
    return field(1, _numbered(head)) + field(2, report) + field(3, len(signed)) + field(4, signature) + field(5, b"extra")


def _numbered(values: Sequence[int | bytes]) -> bytes:
    return b"".join(field(number, value) for number, value in enumerate(values, 1))


# --- machines ------------------------------------------------------------------------------------------------------------


class Coordinator(Protocol):
    """A machine that can stand as a coordinator's."""

    type: list[int]

    def collateral(self) -> CpuCollateral: ...

    def reference_values(self) -> dict[str, Any]: ...  # members of a manifest's ReferenceValues

    def attest(self, report_data: bytes, policy: str) -> bytes: ...  # the message; `policy`: hash of what it was started with, hex


class SnpCoordinator:
    """On SEV-SNP. `changes`: other fields of the report."""

    type = SNP_TYPE

    def __init__(self, machine: SnpMachine, *, carried: bool = True, **changes: Any) -> None:
        """`carried`: AMD's certificate comes along."""
        self.machine = machine
        self._carried = carried
        self._changes = changes

    def collateral(self) -> CpuCollateral:
        return self.machine.collateral()

    def reference_values(self) -> dict[str, Any]:
        minimum = {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24, "MicrocodeVersion": 219}
        guest = {"SMT": True, "MigrateMA": False, "Debug": False, "CXLAllowed": False}
        platform = {"SMTEnabled": True, "ECCEnabled": True, "AliasCheckComplete": True}
        values = {
            "ProductName": self.machine.pki.product,
            "TrustedMeasurement": self.machine.fields().measurement.hex(),
            "MinimumTCB": minimum,
            "GuestPolicy": guest,
            "PlatformInfo": platform,
            "MinimumMitigationVector": 1,
            "AllowedChipIDs": [self.machine.chip_id.hex().upper()],
        }
        return {"snp": [values]}

    def attest(self, report_data: bytes, policy: str) -> bytes:
        report = self.machine.report(**{"report_data": report_data, "host_data": bytes.fromhex(policy), **self._changes})
        return snp_attestation(report, self.machine.leaf() if self._carried else None)


class TdxCoordinator:
    """On TDX."""

    type = TDX_TYPE

    def __init__(self, machine: SimulatedMachine) -> None:
        self.machine = machine

    def collateral(self) -> CpuCollateral:
        return self.machine.collateral()

    def reference_values(self) -> dict[str, Any]:
        state = self.machine.td_report
        rtmrs = [register.hex() for register in (state.rtmr0, state.rtmr1, state.rtmr2, state.rtmr3)]
        return {"tdx": [{"MrTd": state.mrtd.hex(), "MrSeam": state.mr_seam.hex(), "Xfam": state.xfam.hex(), "Rtmrs": rtmrs}]}

    def attest(self, report_data: bytes, policy: str) -> bytes:
        state = msgspec.structs.replace(self.machine.td_report, report_data=report_data, mr_config_id=bytes.fromhex(policy) + bytes(16))
        return tdx_quote(self.machine.quote_report(state))


# --- the mesh ------------------------------------------------------------------------------------------------------------


class Mesh:
    """A coordinator's authorities, and certificates of its workloads."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.root = create_root("system:coordinator:root", now)
        self.ca = create_root("system:coordinator:intermediate", now, years=10)

    def certify(self, *names: str, key: ec.EllipticCurvePrivateKey | None = None, **changes: Any) -> Authority:
        """A workload's certificate; `changes` are arguments of `issue`."""
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        arguments: dict[str, Any] = {
            "start": self.now - DAY,
            "end": self.now + 365 * DAY,
            "authority": False,
            "key": key,
            "extensions": [(usage, False), *(((alternative, False),) if names else ())],
        }
        return issue(names[0] if names else "nobody", self.ca, **{**arguments, **changes})


def pem(authority: Authority) -> bytes:
    """Its certificate as a coordinator sends it."""
    return authority.certificate.public_bytes(Encoding.PEM)


class Deployment:
    """A coordinator with its one manifest and its mesh. `document` and `answer` take other parts in the place of the true ones."""

    def __init__(self, coordinator: Coordinator, now: int) -> None:
        self.coordinator = coordinator
        self.mesh = Mesh(now)
        self.manifest = encoded(manifest_of(coordinator))

    @property
    def manifest_sha256(self) -> str:
        return hashlib.sha256(self.manifest).hexdigest()

    def document(
        self,
        nonce: Hex32,
        *,
        coordinator: Coordinator | None = None,
        policy: str = COORDINATOR_POLICY,
        manifests: Sequence[bytes] = (),
        mesh_ca: bytes = b"",
    ) -> dict[str, Any]:
        """The attestation document; its coordinator signs whatever it is given."""
        machine, known = coordinator or self.coordinator, tuple(manifests) or (self.manifest,)
        root, mesh = pem(self.mesh.root), mesh_ca or pem(self.mesh.ca)
        transition = bytes(32)
        for manifest in known:
            transition = hashlib.sha256(hashlib.sha256(manifest).digest() + transition).digest()
        said = bytes.fromhex(nonce) + transition + hashlib.sha256(root).digest() + hashlib.sha256(mesh).digest()
        return {
            "version": "v1.20.0",
            "raw_attestation_doc": base64_of(machine.attest(hashlib.sha256(said).digest() + bytes(32), policy)),
            "manifests": [base64_of(manifest) for manifest in known],
            "policies": [base64_of(b"package coordinator"), base64_of(b"package workload")],
            "root_ca": base64_of(root),
            "mesh_ca": base64_of(mesh),
        }

    def answer(self, nonce: Hex32, changes: Mapping[str, Any] = {}, **other: Any) -> bytes:
        """The API's answer; `changes` replace members of the document once it is signed, or leave them out where None; `other`: as `document`."""
        document = {**self.document(nonce, **other), **changes}
        return wrapped({name: value for name, value in document.items() if value is not None})


def manifest_of(coordinator: Coordinator) -> Manifest:
    """A manifest that admits `coordinator`'s machine."""
    return {
        "Policies": {
            COORDINATOR_POLICY: {"SANs": ["coordinator", "*"], "WorkloadSecretID": "default/coordinator", "Role": "coordinator"},
            SECRET_POLICY: {"SANs": ["root", "secret-service-internal.example", SERVICE_NAME], "WorkloadSecretID": "secret-service"},
            WORKLOAD_POLICY: {"SANs": [WORKLOAD], "WorkloadSecretID": "workload-one"},
        },
        "ReferenceValues": coordinator.reference_values(),
        "SeedshareOwnerPubKeys": [],
    }


def encoded(manifest: Manifest) -> bytes:
    """Its bytes, as they are set and pinned."""
    return json.dumps(manifest, indent=2).encode()


def wrapped(document: Mapping[str, Any]) -> bytes:
    """The API's answer around an attestation document."""
    return json.dumps({"AttestationDoc": base64_of(json.dumps(document).encode())}).encode()


def base64_of(data: bytes) -> str:
    """As JSON of Go programs has bytes."""
    return base64.b64encode(data).decode()
