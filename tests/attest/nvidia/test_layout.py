"""Reports are read to the last byte, or refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollm.attest.nvidia.layout import DRIVER_VERSION, MAX_REPORT, parse_report
from ollm.errors import EvidenceRefused
from ollm.testing.mint import nvidia as mint
from ollm.testing.mint.nvidia_rim import measurement
from tests.attest.nvidia.devices import GPU, NONCE, device

REPORT = GPU.report(NONCE)
RECORD_AT = 45
OPAQUE_AT = RECORD_AT + 64 * 55 + 32 + 2


def refusal(data: bytes) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as caught:
        parse_report(data)
    assert caught.value.check == "device.format"
    return caught.value


def changed(at: int, *values: int) -> bytes:
    data = bytearray(REPORT)
    data[at : at + len(values)] = bytes(values)
    return bytes(data)


def test_every_field_of_a_report() -> None:
    report = parse_report(REPORT)
    assert report.nonce == NONCE
    assert list(report.measurements) == GPU.measurements()
    assert report.opaque == GPU.opaque()
    assert report.signed + report.signature == REPORT
    assert len(report.signature) == 96
    assert report.name(DRIVER_VERSION, "driver version") == "550.90.07"


def test_a_switch_reports_fewer_measurements() -> None:
    assert len(parse_report(device("LS_10").report(NONCE)).measurements) == 31


def test_a_measurement_may_be_empty() -> None:
    report = mint.report(NONCE, [b"", measurement(1)], GPU.opaque(), GPU.leaf.key)
    assert parse_report(report).measurements == (b"", measurement(1))


def test_the_identity_is_of_the_signed_bytes_alone() -> None:
    again = GPU.report(NONCE)
    assert again != REPORT  # ECDSA draws a new number for each signature
    assert parse_report(again).identity == parse_report(REPORT).identity


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (0, 0x12, "request"),
        (1, 0xE1, "request"),
        (2, 0x00, "request"),
        (3, 0x01, "request"),
        (36, 0x01, "slot"),
        (37, 0x10, "response"),
        (38, 0x7F, "response"),
        (39, 0x01, "response"),
        (40, 0x01, "response"),
        (41, 63, "64 measurement blocks"),
        (RECORD_AT, 2, "measurement block 2"),
        (RECORD_AT + 1, 2, "specification 2"),
        (RECORD_AT + 2, 50, "measurement block 1 of 50 bytes"),
        (RECORD_AT + 2, 2, "measurement block 1 of 2 bytes"),
        (RECORD_AT + 5, 47, "measurement block 1 of 51 bytes"),
    ],
)
def test_what_is_not_as_specified_is_named(at: int, value: int, what: str) -> None:
    assert what in refusal(changed(at, value)).got


def test_each_opaque_field_stands_once() -> None:
    twice = mint.report(NONCE, [measurement(0)], {3: b"1.2\x00"}, GPU.leaf.key)
    at = twice.index(b"\x03\x00\x04\x001.2")
    field = twice[at : at + 8]
    doubled = twice[: at - 2] + (16).to_bytes(2, "little") + field + field + twice[at + 8 :]
    assert refusal(doubled).got == "opaque field 3 twice"


@pytest.mark.parametrize("size", [0, 36, 37, 44, 100, OPAQUE_AT, len(REPORT) - 1])
def test_a_truncated_report_is_refused(size: int) -> None:
    assert "more at offset" in refusal(REPORT[:size]).want


def test_a_byte_after_the_signature_is_refused() -> None:
    assert refusal(REPORT + b"\x00").got == "1 bytes after the signature"


def test_an_oversized_report_is_refused_unread() -> None:
    assert refusal(bytes(MAX_REPORT + 1)).want == f"at most {MAX_REPORT}"


@pytest.mark.parametrize("value", [b"", b"550/../\x00", b"550.90\x00.07", b"5" * 33, b"\xff", b"550 90"])
def test_a_name_that_could_not_stand_in_the_id_of_a_file_is_refused(value: bytes) -> None:
    report = parse_report(GPU.report(NONCE, fields={DRIVER_VERSION: value}))
    with pytest.raises(EvidenceRefused) as caught:
        report.name(DRIVER_VERSION, "driver version")
    assert caught.value.check == "device.format"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, len(REPORT)), st.integers(0, 64))
def test_only_refusals_escape(noise: bytes, at: int, cut: int) -> None:
    for data in (noise, REPORT[:at] + noise + REPORT[at + cut :], REPORT[:RECORD_AT] + noise):
        try:
            parse_report(data)
        except EvidenceRefused as refused:
            assert refused.check == "device.format"  # noqa: PT017 - whether it is refused depends on the noise
