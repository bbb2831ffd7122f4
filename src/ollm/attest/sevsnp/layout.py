"""Bytes of an SEV-SNP attestation report -> named fields. Strict: 1184 bytes, and zero wherever the version reserves bytes.

Integers are little endian:

    offset  size  field
     0x000     4  VERSION: 2, 3, 4 or 5
     0x004     4  GUEST_SVN
     0x008     8  POLICY of the guest
     0x010    16  FAMILY_ID, then IMAGE_ID 16
     0x030     4  VMPL that asked (0xFFFFFFFF: the hypervisor asked)
     0x034     4  SIGNATURE_ALGO: 1 = ECDSA P-384 with SHA-384
     0x038     8  CURRENT_TCB
     0x040     8  PLATFORM_INFO
     0x048     4  bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 2-4 SIGNING_KEY (0 VCEK, 1 VLEK, 7 none); the rest reserved
     0x04c     4  reserved
     0x050    64  REPORT_DATA
     0x090    48  MEASUREMENT (launch digest)
     0x0c0    32  HOST_DATA
     0x0e0    48  ID_KEY_DIGEST, then AUTHOR_KEY_DIGEST 48
     0x140    32  REPORT_ID, then REPORT_ID_MA 32
     0x180     8  REPORTED_TCB
     0x188     3  from version 3 on: CPUID family, model, stepping; reserved in version 2
     0x18b    21  reserved
     0x1a0    64  CHIP_ID
     0x1e0     8  COMMITTED_TCB
     0x1e8     4  CURRENT build, minor, major; 1 reserved
     0x1ec     4  COMMITTED build, minor, major; 1 reserved
     0x1f0     8  LAUNCH_TCB
     0x1f8     8  from version 5 on: LAUNCH_MIT_VECTOR, then CURRENT_MIT_VECTOR 8; reserved before
     0x208   152  reserved
     0x2a0    72  R of the signature over 0x000 to 0x29f: 48 bytes little endian, 24 zero
     0x2e8    72  S, likewise
     0x330   368  zero

Nothing signs what lies behind 0x29f, so its padding could carry anything; read strictly here, it carries nothing.
AMD has published no version 4; reports of it have the layout of version 3, and their bytes must obey that.

Source: AMD SEV Secure Nested Paging Firmware ABI Specification (56860), ATTESTATION_REPORT and the signature's format.
"""

import hashlib

import msgspec

from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

REPORT_SIZE = 0x4A0
SIGNED_SIZE = 0x2A0
VERSIONS = (2, 3, 4, 5)

_CHECK = "snp.format"
_RESERVED = ((0x04C, 0x050), (0x18B, 0x1A0), (0x1EB, 0x1EC), (0x1EF, 0x1F0), (0x208, 0x2A0))
_PADDING = ((0x2D0, 0x2E8), (0x318, 0x330), (0x330, 0x4A0))
_RESERVED_BEFORE_3 = ((0x188, 0x18B),)
_RESERVED_BEFORE_5 = ((0x1F8, 0x208),)
_DEFINED_FLAGS = 0x1F  # of the word at 0x48


class CpuId(msgspec.Struct, frozen=True):
    """Family and model with their extended parts added in, and stepping (CPUID Fn0000_0001 EAX)."""

    family: int
    model: int
    stepping: int


class FirmwareVersion(msgspec.Struct, frozen=True, order=True):
    """Version of the SNP firmware; compares part by part."""

    major: int
    minor: int
    build: int

    @property
    def text(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}"


class MitigationVectors(msgspec.Struct, frozen=True):
    """Mitigations in place at the guest's launch and now: bits that AMD's security bulletins explain."""

    launch: int
    current: int


class SnpReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report taken apart; nothing in it is verified yet. TCBs stay bytes: how to read them depends on the product line."""

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform_info: int
    author_key_enabled: bool
    chip_key_masked: bool
    signing_key: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    cpuid: CpuId | None  # None: version 2 doesn't say
    chip_id: bytes
    committed_tcb: bytes
    current_version: FirmwareVersion
    committed_version: FirmwareVersion
    launch_tcb: bytes
    mitigations: MitigationVectors | None  # None: before version 5
    r: int
    s: int
    signed: bytes

    @property
    def identity(self) -> Hex32:
        """SHA-256 of the signed bytes. A digest of the whole report would not do: ECDSA's S is malleable."""
        return Hex32(hashlib.sha256(self.signed).hexdigest())


def parse_report(data: bytes) -> SnpReport:
    """Take a report apart. Raises: EvidenceRefused with snp.format; nothing else."""
    if len(data) != REPORT_SIZE:
        raise EvidenceRefused(_CHECK, f"{len(data)} bytes", str(REPORT_SIZE))
    version, flags = _number(data, 0x000, 4), _number(data, 0x048, 4)
    if version not in VERSIONS:
        raise EvidenceRefused(_CHECK, f"version {version}", " or ".join(map(str, VERSIONS)))
    if flags & ~_DEFINED_FLAGS:
        raise EvidenceRefused(_CHECK, f"flags {flags:#x}", "no reserved bit set")
    _check_zero(data, version)
    return SnpReport(
        version=version,
        guest_svn=_number(data, 0x004, 4),
        policy=_number(data, 0x008, 8),
        family_id=data[0x010:0x020],
        image_id=data[0x020:0x030],
        vmpl=_number(data, 0x030, 4),
        signature_algorithm=_number(data, 0x034, 4),
        current_tcb=data[0x038:0x040],
        platform_info=_number(data, 0x040, 8),
        author_key_enabled=bool(flags & 1),
        chip_key_masked=bool(flags & 2),
        signing_key=flags >> 2,
        report_data=data[0x050:0x090],
        measurement=data[0x090:0x0C0],
        host_data=data[0x0C0:0x0E0],
        id_key_digest=data[0x0E0:0x110],
        author_key_digest=data[0x110:0x140],
        report_id=data[0x140:0x160],
        report_id_ma=data[0x160:0x180],
        reported_tcb=data[0x180:0x188],
        cpuid=CpuId(*data[0x188:0x18B]) if version >= 3 else None,
        chip_id=data[0x1A0:0x1E0],
        committed_tcb=data[0x1E0:0x1E8],
        current_version=FirmwareVersion(*reversed(data[0x1E8:0x1EB])),
        committed_version=FirmwareVersion(*reversed(data[0x1EC:0x1EF])),
        launch_tcb=data[0x1F0:0x1F8],
        mitigations=MitigationVectors(_number(data, 0x1F8, 8), _number(data, 0x200, 8)) if version >= 5 else None,
        r=_number(data, 0x2A0, 48),
        s=_number(data, 0x2E8, 48),
        signed=data[:SIGNED_SIZE],
    )


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _check_zero(data: bytes, version: int) -> None:
    """Where nothing belongs, nothing stands. Raises: EvidenceRefused."""
    ranges = _RESERVED + _PADDING + (_RESERVED_BEFORE_3 if version < 3 else ()) + (_RESERVED_BEFORE_5 if version < 5 else ())
    for start, end in ranges:
        if any(data[start:end]):
            raise EvidenceRefused(_CHECK, f"bytes {start:#x} to {end - 1:#x} not zero", f"zero: version {version} gives them no meaning")
