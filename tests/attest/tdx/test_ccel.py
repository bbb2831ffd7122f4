"""The firmware's log: strict bytes, then registers; nothing is believed before it replays."""

import os
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.tdx import ccel
from ollm.attest.tdx.ccel import MAX_CCEL, FirmwareEvent
from ollm.attest.tdx.layout import TdReport, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim import ccel as sim_ccel
from ollm.sim.eventlog import Measurement, boot_measurements, replay
from ollm.sim.machine import SimulatedMachine
from tests.attest.service import refused_check

MEASURED = boot_measurements("test")
LOG = sim_ccel.encode(MEASURED, table_size=0)
HEADER, SPECIFICATION = 32, 33  # bytes before the specification event, and its own
FIRST = HEADER + SPECIFICATION


@pytest.fixture(scope="module")
def report(machine: SimulatedMachine) -> TdReport:
    return parse_quote(machine.quote(bytes(64))).td_report


def refused(check: str, match: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, match=match, check=lambda error: error.check == check)


def event(index: int = 1, event_type: int = 0x80000003, digests: bytes = struct.pack("<IH", 1, 0xC) + bytes(48), data: bytes = b"x") -> bytes:
    return struct.pack("<II", index, event_type) + digests + struct.pack("<I", len(data)) + data


def with_specification(specification: bytes) -> bytes:
    return LOG[: HEADER - 4] + len(specification).to_bytes(4, "little") + specification


# Format


def test_the_log_of_a_genuine_machine_replays(machine: SimulatedMachine, report: TdReport) -> None:
    measured = ccel.replay(ccel.parse(machine.ccel), report)

    assert [each.event_type for each in measured] == [each.event_type for each in machine.events if each.imr < 3]
    assert [each.register for each in measured] == [each.imr for each in machine.events if each.imr < 3]
    assert ccel.secure_boot(measured) is True


@pytest.mark.parametrize("rest", [b"", b"\xff" * 4, b"\xff" * 1000, b"\x00", bytes(1000)])
def test_the_unused_part_of_the_table_is_no_event(rest: bytes) -> None:
    assert ccel.parse(LOG + rest) == ccel.parse(LOG)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "4 more at offset 0"),
        (LOG[:FIRST][:-1], "33 more"),
        (b"\x00\x00\x00\x00\x04" + LOG[5:], "first event of type 0x4"),
        (LOG[:8] + b"\x01" + LOG[9:], "first event of type 0x3"),
        (with_specification(LOG[HEADER:FIRST] + b"x"), "without SHA-384"),
        (with_specification(LOG[HEADER:FIRST].replace(b"Event03", b"Event02")), "Spec ID Event02"),
        (with_specification(LOG[HEADER : HEADER + 20] + b"\x00\x01" + LOG[HEADER + 22 : FIRST]), "version 1.0"),
        (with_specification(LOG[HEADER : HEADER + 24] + struct.pack("<I", 9) + LOG[HEADER + 28 : FIRST]), "9 algorithms"),
        (with_specification(LOG[HEADER : HEADER + 24] + struct.pack("<IHHHHB", 2, 0xC, 48, 0xC, 48, 0)), "twice"),
        (with_specification(LOG[HEADER : HEADER + 24] + struct.pack("<IHHB", 1, 0xB, 32, 0)), "without SHA-384"),
        (with_specification(LOG[HEADER : HEADER + 24] + struct.pack("<IHHB", 1, 0xC, 32, 0)), "without SHA-384"),
        (LOG + event(index=5), "register 5"),
        (LOG + event(digests=struct.pack("<I", 0)), "0 digests"),
        (LOG + event(digests=struct.pack("<I", 2**31)), "digests"),
        (LOG + event(digests=struct.pack("<IH", 1, 0xB) + bytes(32)), "algorithm 0xb"),
        (LOG + event()[:-1], "1 more"),
        (LOG + struct.pack("<II", 1, 4)[:7], "4 more"),
        (LOG + bytes(12) + b"x", "0 digests"),
        (LOG + b"\xff" * 8 + b"x", "behind the end"),
        (bytes(MAX_CCEL + 1), f"at most {MAX_CCEL}"),
        (LOG[:FIRST] + event(data=b"") * (ccel.MAX_EVENTS + 1), "more than 4096 events"),
    ],
)  # fmt: skip
def test_a_log_that_is_not_exactly_right_is_refused(data: bytes, match: str) -> None:
    with refused("firmware_log.format", match):
        ccel.parse(data)


def test_a_log_may_carry_digests_of_other_algorithms_too() -> None:
    specification = LOG[HEADER : HEADER + 24] + struct.pack("<IHHHHB", 2, 0xB, 32, 0xC, 48, 2) + b"hi"
    digests = struct.pack("<IH", 2, 0xB) + bytes(32) + struct.pack("<H", 0xC) + b"\x01" * 48

    (found,) = ccel.parse(with_specification(specification) + event(digests=digests))

    assert found == FirmwareEvent(0, 0x80000003, b"\x01" * 48, b"x")
    twice = struct.pack("<IH", 2, 0xB) + bytes(32) + struct.pack("<H", 0xB) + bytes(32)
    with refused("firmware_log.format", "algorithm 0xb"):
        ccel.parse(with_specification(specification) + event(digests=twice))


# Replay


def replayed(events: tuple[FirmwareEvent, ...], report: TdReport) -> tuple[FirmwareEvent, ...]:
    return ccel.replay(events, report)


@pytest.mark.parametrize("change", ["drop", "double", "swap", "digest", "register"])
def test_an_altered_log_does_not_replay(machine: SimulatedMachine, report: TdReport, change: str) -> None:
    events = list(ccel.parse(machine.ccel))
    kernel = next(index for index, each in enumerate(events) if each.data == b"kernel-command-line")
    if change == "drop":
        del events[kernel]
    elif change == "double":
        events.insert(kernel, events[kernel])
    elif change == "swap":
        events[kernel], events[kernel + 1] = events[kernel + 1], events[kernel]
    elif change == "digest":
        events[kernel] = msgspec.structs.replace(events[kernel], digest=bytes(48))
    else:
        events[kernel] = msgspec.structs.replace(events[kernel], register=1)

    with refused("firmware_log.replay", "RTMR[12]"):
        replayed(tuple(events), report)


def test_data_that_was_changed_is_refused_where_it_was_measured_as_it_stands(machine: SimulatedMachine, report: TdReport) -> None:
    events = ccel.parse(machine.ccel)
    lies = tuple(msgspec.structs.replace(each, data=each.data[:-1] + b"\x02") if each.event_type == 0x80000001 else each for each in events)

    with refused("firmware_log.replay", "event 2 of type 0x80000001 with the digest of other data"):
        replayed(lies, report)


def test_data_that_only_describes_may_be_anything(machine: SimulatedMachine, report: TdReport) -> None:
    events = ccel.parse(machine.ccel)
    described = tuple(msgspec.structs.replace(each, data=b"") if each.event_type == 0x80000003 else each for each in events)

    assert replayed(described, report)


def test_events_that_are_not_measured_count_for_nothing(machine: SimulatedMachine, report: TdReport) -> None:
    events = ccel.parse(machine.ccel)
    unmeasured = (FirmwareEvent(0, 3, bytes(48), b"SecureBoot"), FirmwareEvent(None, 4, bytes(48), b""))

    assert replayed(unmeasured + events, report) == events


def test_rtmr3_is_compared_where_the_log_tells_of_it(machine: SimulatedMachine, report: TdReport) -> None:
    late = Measurement(3, 0x6, "late", b"measured", b"late")
    rtmr3 = replay([])[3]
    events = ccel.parse(sim_ccel.encode((*boot_measurements(machine.build), late)))

    with refused("firmware_log.replay", "RTMR3"):
        replayed(events, msgspec.structs.replace(report, rtmr3=rtmr3))


def test_an_empty_log_explains_no_registers(report: TdReport) -> None:
    with refused("firmware_log.replay", "RTMR0"):
        replayed((), report)


def test_what_the_firmware_says_twice_it_has_not_said(machine: SimulatedMachine) -> None:
    events = ccel.parse(machine.ccel)

    assert ccel.secure_boot(()) is None
    assert ccel.secure_boot(events + events) is None
    assert ccel.secure_boot((FirmwareEvent(0, 0x80000001, bytes(48), b"no variable"),)) is None
    assert ccel.secure_boot(tuple(msgspec.structs.replace(each, register=1) for each in events)) is None


# Fuzz


@given(st.binary(max_size=300))
def test_only_our_refusal_escapes_for_any_bytes(data: bytes) -> None:
    assert refused_check(lambda: ccel.parse(data)) == "firmware_log.format"


@given(st.lists(st.tuples(st.integers(0, len(LOG) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_only_our_refusal_escapes_for_bent_logs(edits: list[tuple[int, bytes]]) -> None:
    bent = bytearray(LOG)
    for offset, data in edits:
        bent[offset : offset + len(data)] = data
    assert refused_check(lambda: ccel.secure_boot(ccel.parse(bytes(bent)))) in (None, "firmware_log.format")


@pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")
def test_a_recorded_log_of_real_firmware_explains_its_own_digests() -> None:
    events = ccel.parse((Path(os.environ["OLLM_EVIDENCE_DIR"]) / "dstack/cc-eventlog_samples_ccel.bin").read_bytes())
    with pytest.raises(EvidenceRefused, match=r"firmware_log\.replay: got RTMR0"):  # every digest was explained; its quote is not at hand
        ccel.replay(events, TdReport(*([bytes(16)] + [bytes(48)] * 2 + [bytes(8)] * 3 + [bytes(48)] * 8 + [bytes(64)])))

    assert len(events) == 18
    assert {each.register for each in events} == {0, 1}
    assert ccel.secure_boot(events) is False
