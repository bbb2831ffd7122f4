"""Bytes to fields: every byte that a version reserves must be zero, and nothing but our refusal escapes."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.sevsnp.layout import REPORT_SIZE, CpuId, FirmwareVersion, MitigationVectors, parse_report
from ollm.testing.mint.snp import overwritten
from tests.attest.sevsnp.machines import machine, raises, refusing

STATE = {
    "guest_svn": 7,
    "policy": 0x3001F,
    "family_id": b"\x02" * 16,
    "image_id": b"\x03" * 16,
    "vmpl": 2,
    "platform_info": 0x67,
    "flags": 0b00101,
    "report_data": bytes(range(64)),
    "host_data": b"\x04" * 32,
    "id_key_digest": b"\x05" * 48,
    "author_key_digest": b"\x06" * 48,
    "current_tcb": b"\x07" * 8,
    "committed_tcb": b"\x08" * 8,
    "launch_tcb": b"\x09" * 8,
    "reported_tcb": b"\x0a" * 8,
    "current_version": (1, 55, 43),
    "committed_version": (1, 54, 99),
    "mitigations": (0x0102, 0x0304),
}
REPORTS = {version: machine().report(version=version, **STATE) for version in (2, 3, 4, 5)}


def test_fields() -> None:
    report, state = parse_report(REPORTS[5]), machine().fields(**STATE)

    for name in ("version", "guest_svn", "policy", "family_id", "image_id", "vmpl", "signature_algorithm", "platform_info", "report_data"):
        assert getattr(report, name) == getattr(state, name)
    for name in ("measurement", "host_data", "id_key_digest", "author_key_digest", "report_id", "report_id_ma", "chip_id"):
        assert getattr(report, name) == getattr(state, name)
    for name in ("current_tcb", "committed_tcb", "launch_tcb", "reported_tcb"):
        assert getattr(report, name) == getattr(state, name)
    assert (report.author_key_enabled, report.chip_key_masked, report.signing_key) == (True, False, 1)
    assert report.cpuid == CpuId(0x19, 0x11, 1)
    assert report.current_version == FirmwareVersion(1, 55, 43)
    assert report.committed_version == FirmwareVersion(1, 54, 99)
    assert report.mitigations == MitigationVectors(0x0102, 0x0304)
    assert report.signed == REPORTS[5][:0x2A0]
    assert report.r.to_bytes(48, "little") == REPORTS[5][0x2A0:0x2D0]
    assert report.s.to_bytes(48, "little") == REPORTS[5][0x2E8:0x318]


def test_firmware_versions_compare_by_part() -> None:
    assert FirmwareVersion(1, 55, 3) < FirmwareVersion(1, 55, 43) < FirmwareVersion(1, 58, 1) < FirmwareVersion(2, 0, 0)
    assert FirmwareVersion(1, 55, 43).text == "1.55.43"


def test_what_older_versions_do_not_say_is_none() -> None:
    assert parse_report(REPORTS[2]).cpuid is None
    assert parse_report(REPORTS[3]).cpuid == parse_report(REPORTS[4]).cpuid == CpuId(0x19, 0x11, 1)
    assert [parse_report(REPORTS[version]).mitigations for version in (2, 3, 4)] == [None] * 3


def test_the_identity_covers_what_is_signed_and_nothing_else() -> None:
    report, again = machine().report(), machine().report()

    assert report != again  # ECDSA signs the same with another signature each time
    assert parse_report(report).identity == parse_report(again).identity == hashlib.sha256(report[:0x2A0]).hexdigest()


@pytest.mark.parametrize("flags", [0b00001, 0b00010, 0b11100, 0b11111])
def test_flags_are_told_apart(flags: int) -> None:
    report = parse_report(machine().report(flags=flags))

    assert (report.author_key_enabled, report.chip_key_masked, report.signing_key) == (bool(flags & 1), bool(flags & 2), flags >> 2)


@pytest.mark.parametrize("data", [b"", REPORTS[5][:-1], REPORTS[5] + b"\x00", REPORTS[5] * 2, bytes(REPORT_SIZE)])
def test_another_size_or_an_empty_report_is_refused(data: bytes) -> None:
    with raises("snp.format"):
        parse_report(data)


@pytest.mark.parametrize("version", [0, 1, 6, 255, 2**32 - 1])
def test_an_unknown_version_is_refused(version: int) -> None:
    with raises("snp.format", f"version {version}"):
        parse_report(overwritten(REPORTS[5], {0: version.to_bytes(4, "little")}))


@pytest.mark.parametrize("bit", [5, 8, 31])
def test_an_undefined_flag_is_refused(bit: int) -> None:
    with raises("snp.format", "flags"):
        parse_report(machine().report(flags=1 << bit))


def reserved(version: int) -> set[int]:
    """Offsets of the bytes that a report of `version` gives no meaning, written down apart from the parser's table."""
    always = {*range(0x4C, 0x50), *range(0x18B, 0x1A0), 0x1EB, 0x1EF, *range(0x208, 0x2A0)}
    padding = {*range(0x2D0, 0x2E8), *range(0x318, 0x4A0)}
    return always | padding | (set(range(0x188, 0x18B)) if version < 3 else set()) | (set(range(0x1F8, 0x208)) if version < 5 else set())


@pytest.mark.parametrize("version", REPORTS)
def test_every_reserved_byte_must_be_zero_and_no_other(version: int) -> None:
    flags = set(range(0x48, 0x4C))  # bits of them are reserved: tested above
    for at in set(range(4, REPORT_SIZE)) - flags:
        bent = overwritten(REPORTS[version], {at: bytes([REPORTS[version][at] ^ 1])})
        assert (refusing(lambda bent=bent: parse_report(bent)) is not None) == (at in reserved(version)), hex(at)  # type: ignore[misc]


@given(st.binary(max_size=REPORT_SIZE + 1))
def test_only_our_refusal_escapes_for_any_bytes(data: bytes) -> None:
    with raises("snp.format"):
        parse_report(data)


@given(st.binary(min_size=REPORT_SIZE - 4, max_size=REPORT_SIZE - 4), st.sampled_from([2, 3, 4, 5]))
def test_only_our_refusal_escapes_for_any_bytes_of_the_right_size(data: bytes, version: int) -> None:
    assert refusing(lambda: parse_report(version.to_bytes(4, "little") + data)) in (None, "snp.format")
