"""SEV-SNP machines that are software: reports in AMD's true format, and what AMD says about their signer.

Format: AMD 56860, ATTESTATION_REPORT.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ollm.attest.evidence import SnpCollateral
from ollm.testing.mint.snp_certificates import DAY, SnpPki, issue_leaf, leaf_statements
from ollm.values.policy import SnpPolicy, SnpReferenceValues, SnpTcb

CPUS = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}  # family, model, stepping
CSP_ID = "CN=cc-simulated.invalid"
TCB = SnpTcb(bootloader=4, tee=0, snp=24, microcode=219)


class ReportFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says, in the order of its bytes. `reserved` overwrites bytes at offsets, before it is signed."""

    version: int = 5
    guest_svn: int = 0
    policy: int = 0x30000  # bit 17, which is always one, and SMT
    family_id: bytes = bytes(16)
    image_id: bytes = bytes(16)
    vmpl: int = 0
    signature_algorithm: int = 1
    current_tcb: bytes
    platform_info: int = 0x25
    flags: int = 0
    report_data: bytes = bytes(64)
    measurement: bytes = b"\xa1" * 48
    host_data: bytes = bytes(32)
    id_key_digest: bytes = bytes(48)
    author_key_digest: bytes = bytes(48)
    report_id: bytes = b"\x1d" * 32
    report_id_ma: bytes = b"\xff" * 32
    reported_tcb: bytes
    cpuid: tuple[int, int, int]
    chip_id: bytes
    committed_tcb: bytes
    current_version: tuple[int, int, int] = (1, 55, 43)  # major, minor, build
    committed_version: tuple[int, int, int] = (1, 55, 43)
    launch_tcb: bytes
    mitigations: tuple[int, int] = (1, 1)
    reserved: Mapping[int, bytes] = {}


def encode_report(fields: ReportFields) -> bytes:
    """The 0x2A0 bytes of a report that are signed."""
    number = int.to_bytes
    signed = b"".join(
        (
            number(fields.version, 4, "little"),
            number(fields.guest_svn, 4, "little"),
            number(fields.policy, 8, "little"),
            fields.family_id,
            fields.image_id,
            number(fields.vmpl, 4, "little"),
            number(fields.signature_algorithm, 4, "little"),
            fields.current_tcb,
            number(fields.platform_info, 8, "little"),
            number(fields.flags, 4, "little"),
            bytes(4),
            fields.report_data,
            fields.measurement,
            fields.host_data,
            fields.id_key_digest,
            fields.author_key_digest,
            fields.report_id,
            fields.report_id_ma,
            fields.reported_tcb,
            bytes(fields.cpuid if fields.version >= 3 else 3),
            bytes(21),
            fields.chip_id,
            fields.committed_tcb,
            bytes((*reversed(fields.current_version), 0)),
            bytes((*reversed(fields.committed_version), 0)),
            fields.launch_tcb,
            b"".join(number(vector, 8, "little") for vector in (fields.mitigations if fields.version >= 5 else (0, 0))),
            bytes(152),
        )
    )
    return overwritten(signed, fields.reserved)


def overwritten(data: bytes, changes: Mapping[int, bytes]) -> bytes:
    """`data` with other bytes at some offsets."""
    for offset, change in changes.items():
        data = data[:offset] + change + data[offset + len(change) :]
    return data


def sign_report(signed: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The whole report: `signed`, its signature by `key`, padding."""
    scalars = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA384())))
    return signed + b"".join(scalar.to_bytes(72, "little") for scalar in scalars) + bytes(368)


class SnpMachine:
    """A chip with its signing key, and what AMD says about it, at `now`."""

    def __init__(self, pki: SnpPki, now: int, *, vlek: bool = False, tcb: SnpTcb = TCB, chip_id: bytes = bytes(range(1, 65))) -> None:
        """`vlek`: the key is a provider's, and the chip id is masked, as on AWS. `chip_id`: 64 bytes; Turin uses the first 8."""
        self.pki = pki
        self.now = now
        self.vlek = vlek
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.tcb = tcb_bytes(tcb, pki.product)
        self.chip_id = bytes(64) if vlek else chip_id[:8] + bytes(56) if pki.product == "Turin" else chip_id

    def fields(self, **changes: Any) -> ReportFields:
        """What the machine reports."""
        state = ReportFields(
            current_tcb=self.tcb,
            reported_tcb=self.tcb,
            committed_tcb=self.tcb,
            launch_tcb=self.tcb,
            flags=1 << 2 if self.vlek else 0,
            cpuid=CPUS[self.pki.product],
            chip_id=self.chip_id,
        )
        return msgspec.structs.replace(state, **changes)

    def report(self, **changes: Any) -> bytes:
        """A signed report; `changes` replace fields before it is signed."""
        return sign_report(encode_report(self.fields(**changes)), self.key)

    def statements(self, changes: Mapping[str, bytes | None] = {}) -> dict[str, bytes]:  # read only
        """The statements of the machine's certificate, by the end of their OID; `changes` replace some, or leave out where None."""
        if self.vlek:
            own = leaf_statements(self.pki.product, self.tcb, csp_id=CSP_ID)
        else:
            own = leaf_statements(self.pki.product, self.tcb, chip_id=self.chip_id[: 8 if self.pki.product == "Turin" else 64])
        return {oid: value for oid, value in {**own, **changes}.items() if value is not None}

    def leaf(self, **changes: Any) -> bytes:
        """The certificate of the machine's key; `changes` are arguments of `issue_leaf`."""
        arguments: dict[str, Any] = {
            "issuer": self.pki.asvk if self.vlek else self.pki.ask,
            "public_key": self.key.public_key(),
            "statements": self.statements(),
            "name": "SEV-VLEK" if self.vlek else "SEV-VCEK",
            "start": self.now - 100 * DAY,
            "end": self.now + (265 if self.vlek else 2400) * DAY,
        }
        return issue_leaf(**{**arguments, **changes})

    @property
    def chain(self) -> str:
        return (self.pki.asvk if self.vlek else self.pki.ask).pem + self.pki.ark.pem

    def crl(self, **changes: Any) -> bytes:
        """The root's CRL; `changes` are arguments of `SnpPki.crl`."""
        return self.pki.crl(**{"issued": self.now - 30 * DAY, "expires": self.now + 330 * DAY, **changes})

    def collateral(self, **changes: Any) -> SnpCollateral:
        """What AMD's key distribution service says; `changes` are members of the collateral."""
        collateral = SnpCollateral(leaf=self.leaf(), chain=self.chain, crl=self.crl())
        return msgspec.structs.replace(collateral, **changes)

    def reference_values(self, **changes: Any) -> SnpReferenceValues:
        """What the machine's build measures."""
        values = SnpReferenceValues(name="simulated build", source="minted for a test", measurement=self.fields().measurement.hex())
        return msgspec.structs.replace(values, **changes)

    def policy(self, **changes: Any) -> SnpPolicy:
        """A policy that admits this machine and its build."""
        providers = {"allow_vlek": True, "vlek_csp_ids": (CSP_ID,)} if self.vlek else {}
        policy = SnpPolicy(simulated_root_sha256=self.pki.root_sha256, reference_values=(self.reference_values(),))
        return msgspec.structs.replace(policy, **{**providers, **changes})


def tcb_bytes(tcb: SnpTcb, product: str) -> bytes:
    """`tcb` as `product` writes it."""
    if product == "Turin":
        return bytes((tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode))
    return bytes((tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode))
