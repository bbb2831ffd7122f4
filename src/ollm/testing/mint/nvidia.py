"""NVIDIA devices that are software: certificates, reports, reference files and revocation answers of the true form, for tests and demos.

    hierarchy = create(now)                      roots, factory, signers; marked as simulated
    gpu = hierarchy.device()                     one Hopper GPU (or chip="GB100", "LS_10")
    gpu.evidence(nonce), gpu.collateral(now)     what appraisal takes
    hierarchy.policy()                           and under what it accepts that

Each function has a parameter for every defect that a test wants to mint. Private keys protect nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.nvidia import chain, fwid, layout
from ollm.testing.mint.nvidia_rim import measurement, raw_signature, references, rim
from ollm.testing.mint.x509 import DAY, Authority, issue
from ollm.values.policy import NvidiaPolicy

YEAR = 365 * DAY
_ROOTS = ("Device Identity CA", "CoRIM signing Root CA")
_DRIVERS = {"GH100": "550.90.07", "GB100": "590.48.01"}
_BIOS = {"GH100": "96.00.9F.00.01", "GB100": "97.00.D9.00.35", "LS_10": "96.10.55.00.01"}
_BLOCKS = {"GH100": 64, "GB100": 64, "LS_10": 31}
_DRIVER_INDICES = (7, *range(21, 41))
_BIOS_INDICES = (*range(7), *range(8, 13))


class Hierarchy(msgspec.Struct, frozen=True):
    """Everything that NVIDIA runs: the root and factory of one model of chip, and the signers of its reference files."""

    chip: str
    now: int
    marked: bool
    device_root: Authority
    model: Authority
    provisioner: Authority
    rim_root: Authority
    rim_chip: Authority
    rim_product: Authority
    rim_signer: Authority

    @property
    def rim_chain(self) -> tuple[Authority, ...]:
        return self.rim_signer, self.rim_product, self.rim_chip, self.rim_root

    def policy(self, **changes: object) -> NvidiaPolicy:
        """A policy that admits these devices, and no others."""
        pins = NvidiaPolicy(simulated_root_sha256=self.device_root.sha256, simulated_rim_root_sha256=self.rim_root.sha256)
        return msgspec.structs.replace(pins, **changes)

    def device(self, *, extensions: Sequence[tuple[x509.ExtensionType, bool]] | None = None) -> "Device":
        """A new chip with its firmware's certificate; `extensions` instead of the leaf's own, the marker apart."""
        serial = x509.random_serial_number() >> 100
        firmware = hashlib.sha384(f"firmware {serial}".encode()).digest()
        start, end = self.now - DAY, self.now + 10 * YEAR
        chip = issue(f"{self.chip} A01 GSP BROM", self.provisioner, start=start, end=end)
        own = leaf_extensions(self.chip, serial, firmware) if extensions is None else extensions
        leaf = issue(
            f"{self.chip} A01 GSP FMC LF", chip, start=start, end=end, authority=False, marked=self.marked, constrained=False, extensions=own
        )
        return Device(self, chip, leaf, firmware)


def create(
    now: int, chip: str = "GH100", *, beside: Hierarchy | None = None, marked: bool = True, signer_days: tuple[int, int] = (-1, 365)
) -> Hierarchy:
    """A new hierarchy at `now` (Unix seconds) whose signer is valid from and until `signer_days` after it.

    `beside`: another model's, under the same roots: GPUs and switches of one machine.
    """
    model = chip.replace("_", "")
    start, end = now - DAY, now + 20 * YEAR
    if beside is None:
        device_root, rim_root = (issue(f"NVIDIA {name}", None, start=start, end=end, path_length=None) for name in _ROOTS)
    else:
        device_root, rim_root = beside.device_root, beside.rim_root
    identity = issue(f"NVIDIA {chip} Identity", device_root, start=start, end=end, path_length=None)
    provisioner = issue(f"NVIDIA {chip} Provisioner ICA 1", identity, start=start, end=end, path_length=None)
    rim_chip = issue(f"Reference Value {model} CA", rim_root, start=start, end=end, path_length=1)
    rim_product = issue(f"Reference Value L3 {model} 001", rim_chip, start=start, end=end)
    signer_start, signer_end = (now + day * DAY for day in signer_days)
    signer = issue(f"Reference Value L4 {model}", rim_product, start=signer_start, end=signer_end, authority=False, marked=marked)
    return Hierarchy(chip, now, marked, device_root, identity, provisioner, rim_root, rim_chip, rim_product, signer)


def leaf_extensions(chip: str, serial: int, firmware: bytes) -> list[tuple[x509.ExtensionType, bool]]:
    """Device information, and the firmware's digest in the extension of its architecture."""
    information = f"NVIDIA:{chip}:{serial:X}".encode()
    name = x509.OtherName(x509.ObjectIdentifier(chain.DEVICE_INFO_OID), bytes((0x0C, len(information))) + information)
    oid, value = (fwid.TCB_INFO_OID, tcb_info(firmware)) if chip.startswith("GB") else (fwid.COMPOSITE_DEVICE_ID_OID, composite_device_id(firmware))
    return [(x509.SubjectAlternativeName([name]), False), (x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False)]


def composite_device_id(firmware: bytes) -> bytes:
    """DER of the extension of Hopper and LS10."""
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _der(0x30, b"\x02\x01\x01" + spki + _fwid(firmware))


def tcb_info(firmware: bytes) -> bytes:
    """DER of the extension of Blackwell: two digests, of which the second is empty."""
    head = _der(0x80, b"NVIDIA") + _der(0x81, b"GB100 A01 GSP") + _der(0x82, b"01") + b"".join(_der(tag, b"\x00") for tag in (0x83, 0x84, 0x85))
    return _der(0x30, head + _der(0xA6, _fwid(firmware) + _fwid(bytes(48))) + _der(0x87, bytes(5)))


def _fwid(digest: bytes) -> bytes:
    return _der(0x30, bytes.fromhex("0609608648016503040202") + _der(0x04, digest))


def _der(tag: int, value: bytes) -> bytes:
    size = bytes((len(value),)) if len(value) < 0x80 else bytes((0x81, len(value)))
    return bytes((tag,)) + size + value


class Device(msgspec.Struct, frozen=True):
    """One chip and the firmware that it certified."""

    hierarchy: Hierarchy
    chip: Authority
    leaf: Authority
    firmware: bytes

    @property
    def parties(self) -> tuple[Authority, ...]:
        return self.leaf, self.chip, self.hierarchy.provisioner, self.hierarchy.model, self.hierarchy.device_root

    @property
    def pem(self) -> str:
        return "".join(pem(party) for party in self.parties)

    @property
    def driver(self) -> str | None:
        return _DRIVERS.get(self.hierarchy.chip)

    @property
    def bios(self) -> str:
        return _BIOS[self.hierarchy.chip]

    def measurements(self) -> list[bytes]:
        """What it measures, by index; those that no file describes are zero."""
        active = set(range(_BLOCKS[self.hierarchy.chip])) if self.hierarchy.chip == "LS_10" else {*_DRIVER_INDICES, *_BIOS_INDICES}
        return [measurement(index) if index in active else bytes(48) for index in range(_BLOCKS[self.hierarchy.chip])]

    def opaque(self) -> dict[int, bytes]:
        """The opaque fields of its reports."""
        if self.driver is None:
            return {layout.VBIOS_VERSION: self.bios.encode(), 22: bytes(8)}
        parts = bytes.fromhex(self.bios.replace(".", ""))
        fields = {
            layout.VBIOS_VERSION: bytes(reversed(parts[:4])) + parts[4:] + bytes(3),
            layout.CHIP_SKU: b"882" + bytes(6),
            layout.PROJECT: b"1010\x00",
            layout.PROJECT_SKU: b"0200\x00",
            layout.DRIVER_VERSION: self.driver.encode() + b"\x00",
            layout.FWID: self.firmware,
        }
        newer = {layout.CHIP: b"GB100\x00", layout.FEATURE_FLAG: b"\x01\x00"}
        return fields | ({layout.PROTECTED_PCIE: b"\x55"} if self.hierarchy.chip == "GH100" else newer)

    def report(
        self,
        nonce: bytes,
        *,
        measured: Mapping[int, bytes] | None = None,
        fields: Mapping[int, bytes | None] | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        """A report for `nonce`; `measured` and `fields` replace some of its own (None: leaves one out), `key` signs instead."""
        values = self.measurements()
        for index, value in (measured or {}).items():
            values[index] = value
        opaque = {kind: value for kind, value in {**self.opaque(), **(fields or {})}.items() if value is not None}
        return report(nonce, values, opaque, key or self.leaf.key)

    def evidence(self, nonce: bytes) -> NvidiaEvidence:
        return NvidiaEvidence(report=self.report(nonce), certificate_chain=self.pem)

    def driver_rim(self) -> bytes:
        return rim(self.hierarchy.rim_chain, product=self._product, version=str(self.driver), references=references(_DRIVER_INDICES))

    def bios_rim(self) -> bytes:
        indices = range(_BLOCKS["LS_10"]) if self.driver is None else _BIOS_INDICES
        edition = "SWITCH" if self.driver is None else "GPU"
        return rim(self.hierarchy.rim_chain, product=self._product, edition=edition, version=self.bios, references=references(indices))

    def answers(self, now: int) -> tuple[bytes, ...]:
        """Good revocation answers about every certificate that NVIDIA answers for."""
        device, signers = self.parties[1:], self.hierarchy.rim_chain
        return tuple(answer(party, issuer, now) for party, issuer in (*pairwise(device), *pairwise(signers)))

    def collateral(self, now: int) -> NvidiaCollateral:
        driver = None if self.driver is None else self.driver_rim()
        return NvidiaCollateral(driver_rim=driver, vbios_rim=self.bios_rim(), ocsp=self.answers(now))

    @property
    def _product(self) -> str:
        return self.hierarchy.chip.replace("_", "")


def report(nonce: bytes, measurements: Sequence[bytes], opaque: Mapping[int, bytes], key: ec.EllipticCurvePrivateKey) -> bytes:
    """An SPDM exchange, signed by `key`."""
    record = b"".join(
        bytes((index + 1, 1)) + _u16(len(value) + 3) + bytes((0x30,)) + _u16(len(value)) + value for index, value in enumerate(measurements)
    )
    fields = b"".join(_u16(kind) + _u16(len(value)) + value for kind, value in opaque.items())
    request = b"\x11\xe0\x01\xff" + nonce + b"\x00"
    response = b"\x11\x60\x00\x00" + bytes((len(measurements),)) + len(record).to_bytes(3, "little") + record
    own_nonce = hashlib.sha256(
        nonce + key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    ).digest()
    signed = request + response + own_nonce + _u16(len(fields)) + fields
    return signed + raw_signature(key, signed)


def answer(
    about: Authority,
    issuer: Authority,
    now: int,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    reason: x509.ReasonFlags | None = None,
    hours: tuple[int, int | None] = (-1, 23),
    responder: Authority | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """An OCSP response about `about`, valid from and until `hours` after `now`, by a new responder of `issuer` or the one given."""
    who = responder or new_responder(issuer, now)
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            about.certificate,
            issuer.certificate,
            algorithm or hashes.SHA384(),
            status,
            _time(now + hours[0] * 3600),
            None if hours[1] is None else _time(now + hours[1] * 3600),
            _time(now - DAY) if revoked else None,
            reason,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, who.certificate)
        .certificates([who.certificate])
        .sign(who.key, hashes.SHA384())
        .public_bytes(serialization.Encoding.DER)
    )


def new_responder(issuer: Authority, now: int, *, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.OCSP_SIGNING, days: int = 90) -> Authority:
    """A responder that `issuer` certified for OCSP signing, or for another `usage`, until `days` after `now`."""
    extensions = [(x509.ExtendedKeyUsage([usage]), True)]
    return issue("NVIDIA OCSP Responder", issuer, start=now - 100 * DAY, end=now + days * DAY, authority=False, extensions=extensions)


def pem(party: Authority) -> str:
    """The certificate as text."""
    return party.certificate.public_bytes(serialization.Encoding.PEM).decode()


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "little")
