"""Quotes are true to format, and the verifier that judges real ones accepts them."""

import hashlib
import time

import dcap_qvl
import msgspec
import pytest

from ollm.sim.machine import SimulatedMachine
from ollm.sim.quote import INTEL_QE_VENDOR, ecdsa_raw, raw_public_key
from tests.sim.hardware import REPORT_DATA, library_verdict


@pytest.mark.parametrize("version", [4, 5])
def test_the_verifier_accepts_a_quote_of_either_version(machine: SimulatedMachine, version: int) -> None:
    quote = machine.quote_report(msgspec.structs.replace(machine.td_report, report_data=REPORT_DATA), version=version)
    assert library_verdict(machine, machine.pki.root_der, quote=quote) == "UpToDate"


@pytest.mark.parametrize(("body", "size"), [(2, 584), (3, 648)])
def test_version_5_says_which_report_it_carries(machine: SimulatedMachine, body: int, size: int) -> None:
    quote = machine.quote_report(machine.td_report, version=5, body=body)
    assert quote[48:54] == body.to_bytes(2, "little") + size.to_bytes(4, "little")
    assert int.from_bytes(quote[54 + size : 58 + size], "little") == len(quote) - 58 - size
    assert library_verdict(machine, machine.pki.root_der, quote=quote) == "UpToDate"


def test_the_verifier_reads_back_what_was_measured(machine: SimulatedMachine) -> None:
    report = dcap_qvl.parse_quote(machine.quote(REPORT_DATA)).report
    measured = machine.td_report
    assert report.report_data == REPORT_DATA
    assert (report.mr_td, report.mr_config_id) == (measured.mrtd, measured.mr_config_id)
    assert (report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3) == (measured.rtmr0, measured.rtmr1, measured.rtmr2, measured.rtmr3)


def test_the_fields_stand_where_the_format_says(machine: SimulatedMachine) -> None:
    quote = machine.quote(REPORT_DATA)
    assert quote[:12] == bytes.fromhex("040002008100000000000000")
    assert quote[12:28] == INTEL_QE_VENDOR
    assert quote[168:176] == bytes.fromhex("0000001000000000")  # SEPT_VE_DISABLE alone
    assert quote[184:232] == machine.td_report.mrtd
    assert quote[568:632] == REPORT_DATA
    assert int.from_bytes(quote[632:636], "little") == len(quote) - 636
    assert quote[764:766] == b"\x06\x00"
    assert int.from_bytes(quote[766:770], "little") == len(quote) - 770
    assert quote[1218:1220] == b"\x20\x00"
    assert quote[1252:1254] == b"\x05\x00"
    assert int.from_bytes(quote[1254:1258], "little") == len(quote) - 1258
    assert quote[1258:].count(b"BEGIN CERTIFICATE") == 3


def test_the_quoting_enclave_vouches_for_the_attestation_key(machine: SimulatedMachine) -> None:
    quote = machine.quote(REPORT_DATA)
    qe_report, attestation_key, auth_data = quote[770:1154], quote[700:764], quote[1220:1252]
    assert qe_report[320:384] == hashlib.sha256(attestation_key + auth_data).digest() + bytes(32)
    assert qe_report[:16] == machine.platform.cpu_svn


@pytest.mark.parametrize("field", ["mrtd", "report_data", "td_attributes"])
def test_a_field_of_the_wrong_size_is_refused(machine: SimulatedMachine, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        machine.quote_report(msgspec.structs.replace(machine.td_report, **{field: bytes(47)}))


def test_a_raw_signature_and_key_have_their_fixed_sizes(machine: SimulatedMachine) -> None:
    key = machine.pki.root.key
    assert {len(ecdsa_raw(key, bytes([number]))) for number in range(40)} == {64}
    assert len(raw_public_key(key.public_key())) == 64


def test_a_quote_costs_less_than_a_millisecond(machine: SimulatedMachine) -> None:
    def once() -> float:
        start = time.perf_counter()
        machine.quote(REPORT_DATA)
        return time.perf_counter() - start

    assert min(once() for _ in range(50)) < 0.001
