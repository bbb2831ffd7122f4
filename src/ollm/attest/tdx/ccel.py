"""The firmware's event log of a TD (CCEL): what was extended into RTMR0 to RTMR3 before and while the kernel started.

Integers are little endian. The first event has the form of TPM 1.2, all others carry one digest for each algorithm:

    TCG_PCR_EVENT:  MrIndex u32 | type u32 = 3 (EV_NO_ACTION) | digest 20, zero | size u32 | event
      event: "Spec ID Event03" NUL | platform class u32 | minor, major, errata, uintn size u8 = 0, 2, -, - |
             number of algorithms u32 | (algorithm u16, digest size u16) each | vendor info size u8 | vendor info
    TCG_PCR_EVENT2: MrIndex u32 | type u32 | count u32 | (algorithm u16, digest) each | size u32 | event

MrIndex 0 is MRTD, 1 to 4 are RTMR0 to RTMR3. The ACPI table behind the log is larger than it: the rest is 0xFF or 0x00.
A log tells of RTMR3 only where firmware or kernel used it; what software adds there later is in its own log.

Source: TCG PC Client Platform Firmware Profile 1.06, §10.2; UEFI 2.10, §38.4.1 (Intel TDX).
"""

import hashlib

import msgspec

from ollm.attest.tdx import tcg
from ollm.attest.tdx.layout import Reader, TdReport
from ollm.errors import EvidenceRefused

MAX_CCEL = 1024 * 1024  # tables of real firmware have 64 KB
MAX_EVENTS = 4096
_FORMAT = "firmware_log.format"
_REPLAY = "firmware_log.replay"
_SIGNATURE = b"Spec ID Event03\x00"
_SHA384 = 0x000C
_END = 0xFFFFFFFF
_MAX_ALGORITHMS = 8
_RTMR3 = 3


class FirmwareEvent(msgspec.Struct, frozen=True):
    """One event. `register` is 0 to 3 for RTMR0 to RTMR3, None for MRTD, into which nothing can be extended after the start."""

    register: int | None
    event_type: int
    digest: bytes
    data: bytes


def parse(data: bytes) -> tuple[FirmwareEvent, ...]:
    """The log's events, well-formed but not yet believed. Raises: EvidenceRefused with firmware_log.format."""
    if len(data) > MAX_CCEL:
        raise EvidenceRefused(_FORMAT, f"{len(data)} bytes", f"at most {MAX_CCEL}")
    reader = Reader(data, _FORMAT, "firmware log")
    sizes = _specification(reader)
    events: list[FirmwareEvent] = []
    while not _ended(data, reader.offset):
        if len(events) == MAX_EVENTS:
            raise EvidenceRefused(_FORMAT, f"more than {MAX_EVENTS} events", f"at most {MAX_EVENTS}")
        events.append(_event(reader, sizes, len(events)))
    return tuple(events)


def replay(events: tuple[FirmwareEvent, ...], report: TdReport) -> tuple[FirmwareEvent, ...]:
    """The log leads to the very registers of the report; its events that were measured, in order.

    Raises: EvidenceRefused with firmware_log.replay.
    """
    registers = [bytes(48)] * 4
    measured: list[FirmwareEvent] = []
    for index, event in enumerate(events):
        if event.event_type == tcg.EV_NO_ACTION or event.register is None:
            continue
        if not tcg.explains(event.event_type, event.data, event.digest):
            raise EvidenceRefused(_REPLAY, f"event {index} of type {event.event_type:#x} with the digest of other data", "the digest of its data")
        registers[event.register] = hashlib.sha384(registers[event.register] + event.digest).digest()
        measured.append(event)
    told = 4 if any(event.register == _RTMR3 for event in measured) else 3
    for register, (replayed, quoted) in enumerate(zip(registers[:told], report.rtmrs, strict=False)):
        if replayed != quoted:
            raise EvidenceRefused(_REPLAY, f"RTMR{register} {replayed.hex()}", quoted.hex())
    return tuple(measured)


def secure_boot(measured: tuple[FirmwareEvent, ...]) -> bool | None:
    """Whether the firmware measured that UEFI Secure Boot was on. None when it didn't say, or more than once."""
    configured = (tcg.variable(event.data) for event in measured if event.register == 0 and event.event_type == tcg.EV_EFI_VARIABLE_DRIVER_CONFIG)
    states = [variable.data == b"\x01" for variable in configured if variable is not None and variable.secure_boot]
    return states[0] if len(states) == 1 else None


def _specification(reader: Reader) -> dict[int, int]:
    """Digest size of each algorithm of the log, from its first event."""
    _, event_type, digest = reader.number(4), reader.number(4), reader.take(20)
    if event_type != tcg.EV_NO_ACTION or any(digest):
        raise EvidenceRefused(_FORMAT, f"a first event of type {event_type:#x}", "the specification event")
    event = Reader(reader.take(reader.number(4)), _FORMAT, "specification event")
    signature, _, version = event.take(16), event.take(4), event.take(4)
    if signature != _SIGNATURE or version[:2] != b"\x00\x02":
        raise EvidenceRefused(_FORMAT, f"specification {signature[:15]!a}, version {version[1]}.{version[0]}", "Spec ID Event03, version 2.0")
    count = event.number(4)
    if count > _MAX_ALGORITHMS:
        raise EvidenceRefused(_FORMAT, f"{count} algorithms", f"at most {_MAX_ALGORITHMS}")
    sizes = {event.number(2): event.number(2) for _ in range(count)}
    event.take(event.number(1))
    if event.rest() or len(sizes) != count or sizes.get(_SHA384) != hashlib.sha384().digest_size:
        raise EvidenceRefused(_FORMAT, "a specification event without SHA-384, or with something twice", "one of a TD's firmware log")
    return sizes


def _event(reader: Reader, sizes: dict[int, int], index: int) -> FirmwareEvent:
    measured_into, event_type, count = reader.number(4), reader.number(4), reader.number(4)
    if measured_into > 4:
        raise EvidenceRefused(_FORMAT, f"event {index} with register {measured_into}", "0 for MRTD, 1 to 4 for RTMR0 to RTMR3")
    if count != len(sizes):
        raise EvidenceRefused(_FORMAT, f"event {index} with {count} digests", f"{len(sizes)}, as the specification event says")
    digests: dict[int, bytes] = {}
    for _ in range(count):
        algorithm = reader.number(2)
        if algorithm not in sizes or algorithm in digests:
            raise EvidenceRefused(
                _FORMAT, f"event {index} with a digest of algorithm {algorithm:#x}", "one of each that the specification event lists"
            )
        digests[algorithm] = reader.take(sizes[algorithm])
    data = reader.take(reader.number(4))
    return FirmwareEvent(measured_into - 1 if measured_into else None, event_type, digests[_SHA384], data)


def _ended(data: bytes, offset: int) -> bool:
    """Whether from `offset` on there is only the unused part of the table. Raises: EvidenceRefused for an end that isn't one."""
    if int.from_bytes(data[offset : offset + 4], "little") == _END:
        if data[offset:].strip(b"\xff"):
            raise EvidenceRefused(_FORMAT, "bytes behind the end of the log", "nothing, or the unused part of its table")
        return True
    # No event begins with twelve zeros: it has a digest.
    return not any(data[offset : offset + 12]) and not data[offset:].strip(b"\x00")
