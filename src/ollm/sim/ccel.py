"""The firmware's event log as the ACPI table CCEL points to it: TCG's binary form with SHA-384 digests. Integers are little endian.

    MrIndex u32 = 1 | EV_NO_ACTION u32 = 3 | zeros 20 | size u32 | specification event
    then for each event: MrIndex u32 (1 to 4: RTMR0 to RTMR3) | type u32 | 1 u32 | SHA-384 u16 | digest 48 | size u32 | data
    then 0xFF to the end of the table

Source: TCG PC Client Platform Firmware Profile 1.06, §10.2.
"""

from collections.abc import Iterable

from ollm.sim.eventlog import Measurement

TABLE_SIZE = 64 * 1024  # as OVMF reserves
_EV_NO_ACTION = 3
_SHA384 = 0x000C


def encode(measurements: Iterable[Measurement], *, table_size: int = TABLE_SIZE) -> bytes:
    """The whole table after `measurements`."""
    log = _specification() + b"".join(_event(each) for each in measurements)
    return log + b"\xff" * (table_size - len(log))


def _specification() -> bytes:
    event = b"Spec ID Event03\x00" + _u32(0) + b"\x00\x02\x00\x02" + _u32(1) + _u16(_SHA384) + _u16(48) + b"\x00"
    return _u32(1) + _u32(_EV_NO_ACTION) + bytes(20) + _u32(len(event)) + event


def _event(measured: Measurement) -> bytes:
    digests = _u32(1) + _u16(_SHA384) + measured.digest
    return _u32(measured.imr + 1) + _u32(measured.event_type) + digests + _u32(len(measured.told)) + measured.told


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
