"""What each technology's appraisal hands to the composition: facts that its own checks proved, and nothing that they did not."""

from typing import TypeAlias

import msgspec

from ollm.attest.dstack.eventlog import RuntimeEvent
from ollm.values.checks import Claim
from ollm.values.hexes import Hex32
from ollm.values.policy import NitroReferenceValues, SnpReferenceValues, TdxReferenceValues, Technology

AnyReferenceValues: TypeAlias = TdxReferenceValues | SnpReferenceValues | NitroReferenceValues


class CpuFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A genuine CPU report on a wanted platform. Its software is judged by `matching`, its statement by whoever knows what was asked."""

    technology: Technology
    identity: Hex32  # SHA-256 of the signed bytes: a digest of all of the evidence is malleable
    report_data: bytes  # 64 bytes; Nitro: user data, padded or cut by nothing
    nonce: bytes | None = None  # Nitro has a field of its own for it
    public_key: bytes | None = None  # and one for a key
    hardware_id: str | None = None  # PPID, chip id, instance: names the machine in allow-lists
    attested: Claim
    tcb: Claim
    matching: tuple[AnyReferenceValues, ...] = ()  # reference values that the measurements equal
    runtime: tuple[RuntimeEvent, ...] = ()  # TDX: events of the replayed log
    facts: dict[str, str] = {}  # for the claims' `extra`
    warnings: tuple[str, ...] = ()  # accepted, but people should know
    valid_until: int  # Unix seconds: the first end among all that was relied upon


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A genuine device in a wanted state."""

    kind: str  # gpu or switch
    model: str  # architecture: Hopper, Blackwell, LS10
    identity: Hex32  # SHA-256 of the signed bytes
    device_id: str  # serial number of its certificate, hex: no device may appear twice
    nonce: bytes  # 32 bytes that it signed
    by: str = "report"  # report: its own evidence was judged; nras: NVIDIA's service judged it
    facts: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    valid_until: int
