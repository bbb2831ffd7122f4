"""AMD's product lines: how reports and certificates name them, and how each line writes the versions of its firmware.

A TCB is eight bytes, one security version number each. Milan and Genoa: bootloader, TEE, four reserved, SNP, microcode. Turin: FMC,
bootloader, TEE, SNP, three reserved, microcode. A certificate has the same bytes, each in an extension of its own. Read in the
wrong line's layout, old firmware can look new; so nothing is read before the line is known.

Source: AMD 56860, TCB_VERSION; AMD 57230 (VCEK certificate and KDS interface), certificate extensions; CPUID models of the lines as in
AMD's library for Rust (virtee/sev, `Generation::identify_cpu`): 0x10 and 0xA0 of family 0x19 are Genoa and its dense siblings.
"""

import re
from typing import NamedTuple

import msgspec

from ollm.attest.sevsnp.layout import CpuId, SnpReport
from ollm.errors import EvidenceRefused
from ollm.values.policy import SnpTcb

PRODUCTS = ("Milan", "Genoa", "Turin")
TURIN_CHIP_ID_SIZE = 8  # bytes of the chip id; 64 on the other lines

_MODELS = (
    (0x19, range(0x10), "Milan"),
    (0x19, range(0x10, 0x20), "Genoa"),
    (0x19, range(0xA0, 0xB0), "Genoa"),
    (0x1A, range(0x12), "Turin"),
)
_NAME = re.compile(r"(Milan|Genoa|Turin)(?:-[A-Z][0-9])?")  # with the stepping on a Milan VCEK, without it elsewhere


class _TcbByte(NamedTuple):
    component: str | None  # of SnpTcb; None: reserved
    oid: str  # of the certificate extension with this byte, below 1.3.6.1.4.1.3704.1


_MILAN_TCB = (
    _TcbByte("bootloader", "3.1"),
    _TcbByte("tee", "3.2"),
    _TcbByte(None, "3.4"),
    _TcbByte(None, "3.5"),
    _TcbByte(None, "3.6"),
    _TcbByte(None, "3.7"),
    _TcbByte("snp", "3.3"),
    _TcbByte("microcode", "3.8"),
)
_TURIN_TCB = (
    _TcbByte("fmc", "3.9"),
    _TcbByte("bootloader", "3.1"),
    _TcbByte("tee", "3.2"),
    _TcbByte("snp", "3.3"),
    _TcbByte(None, "3.5"),
    _TcbByte(None, "3.6"),
    _TcbByte(None, "3.7"),
    _TcbByte("microcode", "3.8"),
)
_LAYOUTS = {"Milan": _MILAN_TCB, "Genoa": _MILAN_TCB, "Turin": _TURIN_TCB}


class Tcbs(msgspec.Struct, frozen=True):
    """The four TCBs of a report."""

    reported: SnpTcb  # chosen by the operator, at most the committed one; the signing key is derived from it
    committed: SnpTcb  # to which the operator can still roll back
    current: SnpTcb  # running now
    launch: SnpTcb  # running when the guest was launched

    @property
    def lowest(self) -> SnpTcb:
        """The lowest number of each component."""
        return SnpTcb(**{name: min(getattr(tcb, name) for tcb in msgspec.structs.astuple(self)) for name in SnpTcb.__struct_fields__})


def product_of_cpuid(cpuid: CpuId) -> str | None:
    """The product line of a CPU, or None for one that no known line has."""
    return next((product for family, models, product in _MODELS if cpuid.family == family and cpuid.model in models), None)


def product_of_name(name: str) -> str | None:
    """The product line that a certificate names, such as Milan-B0 or Genoa, or None."""
    found = _NAME.fullmatch(name)
    return found and found[1]


def tcb_extensions(product: str) -> tuple[str, ...]:
    """OIDs of the extensions with the bytes of a TCB on `product`, in the order of the bytes."""
    return tuple(byte.oid for byte in _LAYOUTS[product])


def read_tcb(raw: bytes, product: str, check: str) -> SnpTcb:
    """`raw`, 8 bytes, in the layout of `product`. Raises: EvidenceRefused naming `check` when a reserved byte is not zero."""
    pairs = [(byte.component, number) for byte, number in zip(_LAYOUTS[product], raw, strict=True)]
    if any(number for component, number in pairs if component is None):
        raise EvidenceRefused(check, f"TCB {raw.hex()}", f"reserved bytes zero, in the layout of {product}")
    return SnpTcb(**{component: number for component, number in pairs if component is not None})


def read_tcbs(report: SnpReport, product: str) -> Tcbs:
    """All TCBs of `report`. Raises: EvidenceRefused with snp.tcb_format."""
    return Tcbs(
        *(read_tcb(raw, product, "snp.tcb_format") for raw in (report.reported_tcb, report.committed_tcb, report.current_tcb, report.launch_tcb))
    )


def at_least(tcb: SnpTcb, floor: SnpTcb) -> bool:
    """Whether no component of `tcb` is below that of `floor`. Two TCBs can each be lower than the other in some component."""
    return all(number >= least for number, least in zip(msgspec.structs.astuple(tcb), msgspec.structs.astuple(floor), strict=True))


def tcb_text(tcb: SnpTcb) -> str:
    """`tcb` for people; most lines have no FMC."""
    return ", ".join(f"{name} {getattr(tcb, name)}" for name in SnpTcb.__struct_fields__ if name != "fmc" or tcb.fmc)
