"""Recorded SEV-SNP evidence of real machines: each case gets its verdict, at its time, with its endorsements, for its reason."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from ollm.attest.sevsnp.layout import parse_report
from ollm.attest.sevsnp.need import collateral_need
from tests.attest import recorded_snp as recorded
from tests.attest.sevsnp.machines import accepted, refused

pytestmark = pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")


def _folder() -> Path:
    return Path(os.environ["OLLM_EVIDENCE_DIR"])


CASES = recorded.cases(_folder()) if os.environ.get("OLLM_EVIDENCE_DIR") else []
ACCEPTED = [case for case in CASES if case["verdict"] == "accept"]


def _name(case: recorded.Case) -> str:
    return f"{Path(case['file']).stem}-{case.get('variant', 'plain')}"


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_recorded_case_gets_its_verdict(case: recorded.Case) -> None:
    report, collateral, policy = recorded.evidence(_folder(), case).report, recorded.collateral(_folder(), case), recorded.policy(case)
    now = _seconds(case["at"])

    if case["verdict"] == "accept":
        assert collateral is not None
        facts = accepted(report, collateral, policy, now, compare=False)
        expected = case["expect"]
        assert facts.facts["product"] == expected["product"].removesuffix("-B0")
        assert facts.facts["signing_key"] == expected["signing_key"]
        assert facts.facts["measurement"] == expected["measurement"]
        assert facts.facts["vmpl"] == str(expected["vmpl"])
        assert facts.facts.get("csp_id") == expected.get("csp_id")
        assert facts.report_data.hex() == expected["report_data"]
        assert facts.hardware_id == (expected["chip_id"] if any(bytes.fromhex(expected["chip_id"])) else None)
        assert facts.valid_until == _seconds(case["valid_window"][1])
    elif case["verdict"] == "refuse":
        assert collateral is not None
        assert recorded.REASONS[refused(report, collateral, policy, now, compare=False) or "accepted"] in case["all_reasons"]
    else:
        assert collateral is None
        assert recorded.REASONS["machine.collateral"] == case["reason"]
        assert collateral_need(report).signing_key == case["missing"][0]
        for other in ACCEPTED:  # and nobody else's endorsements do
            stranger = recorded.collateral(_folder(), other)
            assert stranger is not None
            assert refused(report, stranger, recorded.policy(other), _seconds(other["at"]), compare=False) is not None


@pytest.mark.parametrize("case", ACCEPTED, ids=_name)
@pytest.mark.parametrize("end", [0, 1])
def test_recorded_evidence_holds_to_the_second(case: recorded.Case, end: int) -> None:
    report, collateral, policy = recorded.evidence(_folder(), case).report, recorded.collateral(_folder(), case), recorded.policy(case)
    edge = _seconds(case["valid_window"][end]) - end  # the end itself is outside
    assert collateral is not None

    assert refused(report, collateral, policy, edge, compare=False) is None
    assert refused(report, collateral, policy, edge + (-1, 1)[end], compare=False) == "snp.validity"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_recorded_fields_are_read_as_recorded(case: recorded.Case) -> None:
    report, expected = parse_report(recorded.evidence(_folder(), case).report), case["expect"]

    assert report.version == expected["version"]
    assert f"{report.policy:#x}" == expected["policy"]
    assert report.chip_id.hex() == expected["chip_id"]
    assert report.measurement.hex() == expected["measurement"]
    if report.cpuid is not None:
        assert [report.cpuid.family, report.cpuid.model, report.cpuid.stepping] == expected["cpuid_fms"]
    if "reported_tcb_raw" in expected:
        assert report.reported_tcb.hex() == expected["reported_tcb_raw"]
    if "guest_svn" in expected:
        assert report.guest_svn == expected["guest_svn"]
        assert report.host_data.hex() == expected["host_data"]


@pytest.mark.parametrize("case", ACCEPTED, ids=_name)
def test_the_need_of_a_recorded_report_is_what_was_fetched(case: recorded.Case) -> None:
    need, expected = collateral_need(recorded.evidence(_folder(), case).report), case["expect"]
    product = expected["product"].removesuffix("-B0")

    assert product in need.products
    assert need.product == (None if expected["version"] == 2 else product)
    assert need.chip_id == (expected["chip_id"][:16] if product == "Turin" else expected["chip_id"])
    names = {"bl": "bootloader", "tee": "tee", "snp": "snp", "ucode": "microcode", "fmc": "fmc"}
    assert {key: getattr(need.tcb(product), names[key]) for key in expected["reported_tcb"]} == expected["reported_tcb"]


FLIPPED = ("snp/r_trustee.bin", "snp/r_oak_turin_oc_evidence.bin", "snp/r_trustee_vlek.bin")


def _accepted_flips(data: bytes, file: str, *, leaf: bool, places: range) -> list[tuple[int, int]]:
    """Places and masks of `data`, in the place of the report or leaf of `file`, at which a changed byte is accepted."""
    case = recorded.find(_folder(), file)
    report, collateral, policy = recorded.evidence(_folder(), case).report, recorded.collateral(_folder(), case), recorded.policy(case)
    assert collateral is not None
    found, now = [], _seconds(case["at"])
    for at in places:
        for mask in (0x01, 0x80, 0xFF):
            bent = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            bent_collateral = type(collateral)(leaf=bent, chain=collateral.chain, crl=collateral.crl) if leaf else collateral
            if refused(report if leaf else bent, bent_collateral, policy, now, compare=False) is None:
                found.append((at, mask))
    return found


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("file", FLIPPED)
def test_no_flipped_byte_of_a_real_report_is_accepted(file: str, stride: int) -> None:
    """Every byte of all 1184, signed or not; the quick cases take one in thirteen."""
    data = recorded.evidence(_folder(), recorded.find(_folder(), file)).report

    assert _accepted_flips(data, file, leaf=False, places=range(0, len(data), stride)) == []


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("file", FLIPPED)
def test_no_flipped_byte_of_a_real_certificate_is_accepted(file: str, stride: int) -> None:
    collateral = recorded.collateral(_folder(), recorded.find(_folder(), file))
    assert collateral is not None

    assert _accepted_flips(collateral.leaf, file, leaf=True, places=range(0, len(collateral.leaf), stride)) == []
