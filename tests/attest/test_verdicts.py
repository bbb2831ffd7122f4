"""Recorded evidence of real machines: each case gets its verdict, at its time, with its collateral, for its reason."""

import json
import os
from pathlib import Path

import pytest

from ollm.attest.appraise import appraise_quote
from ollm.attest.dstack import eventlog
from ollm.attest.tdx.layout import parse_quote
from ollm.errors import EvidenceRefused
from tests.attest import recorded
from tests.attest.service import failing

pytestmark = pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")

# Our check -> the reason that the recorded verdicts give for the same finding.
REASONS = {
    "quote.format": "malformed",
    "quote.debug": "debug",
    "quote.sept_ve_disable": "sept_ve_disable",
    "quote.service_td": "unsupported_service_td",
    "collateral.validity": "expired",
    "tcb.level": "tcb_level",
}
# The file ends in a text that was appended to show that verifiers overlook it; its verdict is about the quote before it.
WITH_APPENDED_TEXT = {"tdx/q_v4_gotdx_spr_e4.dat": 39}


def _folder() -> Path:
    return Path(os.environ["OLLM_EVIDENCE_DIR"])


CASES = recorded.tdx_cases(_folder()) if os.environ.get("OLLM_EVIDENCE_DIR") else []


def _name(case: recorded.Case) -> str:
    return f"{Path(case['file']).stem}-{case.get('variant', 'plain')}"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_recorded_case_gets_its_verdict(case: recorded.Case) -> None:
    quote = recorded.quote(_folder(), case)
    if case["file"] in WITH_APPENDED_TEXT:
        quote = quote[: -WITH_APPENDED_TEXT[case["file"]]]
    roles = case["collateral"] if "missing" not in case else {"bundle": "tdx/coll_dcapqvl_a.json"}  # of its family, but too old

    appraisal = appraise_quote(quote, recorded.collateral(_folder(), roles), recorded.HARDWARE, recorded.seconds(case), compare_measurements=False)

    if case["verdict"] == "accept":
        assert appraisal.accepted, appraisal.failure
        expected = case["expect"]
        assert appraisal.claims.extra["tcb_status"] == expected["tcb_status"] == "UpToDate"
        assert appraisal.claims.extra["tcb_evaluation_data_number"] == str(expected["tcb_evaluation_data_number"])
        assert appraisal.claims.extra["fmspc"] == expected["fmspc"]
        assert [appraisal.claims.extra[f"rtmr{index}"] for index in range(4)] == [expected[f"rt_mr{index}"] for index in range(4)]
        assert appraisal.claims.tee_attested.status == appraisal.claims.tcb_up_to_date.status == "asserted"
        assert appraisal.valid_until == recorded.seconds({"at": case["valid_window"][1]})
    elif case["verdict"] == "refuse":
        assert REASONS[failing(appraisal) or "accepted"] in case["all_reasons"]
    else:
        assert failing(appraisal) == "collateral.validity"


@pytest.mark.parametrize("case", [case for case in CASES if case["verdict"] == "accept"], ids=_name)
@pytest.mark.parametrize("end", [0, 1])
def test_recorded_evidence_holds_to_the_second(case: recorded.Case, end: int) -> None:
    edge = recorded.seconds({"at": case["valid_window"][end]}) - end  # the end itself is outside
    quote, collateral = recorded.quote(_folder(), case), recorded.collateral(_folder(), case["collateral"])

    def check(now: int) -> str | None:
        return failing(appraise_quote(quote, collateral, recorded.HARDWARE, now, compare_measurements=False))

    assert check(edge) is None
    assert check(edge + (-1, 1)[end]) == "collateral.validity"


@pytest.mark.parametrize("file", WITH_APPENDED_TEXT)
def test_text_appended_to_a_quote_is_refused(file: str) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        parse_quote((_folder() / file).read_bytes())
    assert refusal.value.check == "quote.format"


def test_recorded_fields_are_read_as_recorded() -> None:
    for case in recorded.tdx_cases(_folder()):
        if "quote_version" not in case["expect"] or case["file"] in WITH_APPENDED_TEXT:
            continue
        quote, expected = parse_quote(recorded.quote(_folder(), case)), case["expect"]
        report = quote.td_report
        assert quote.header.version == expected["quote_version"]
        assert [register.hex() for register in report.rtmrs] == [expected[f"rt_mr{index}"] for index in range(4)]
        for name, field in (("mr_td", "mrtd"), ("mr_seam", "mr_seam"), ("mr_config_id", "mr_config_id"), ("report_data", "report_data")):
            assert getattr(report, field).hex() == expected[name]
        assert report.tee_tcb_svn.hex() == expected["tee_tcb_svn"]
        assert report.td_attributes.hex() == expected["td_attributes"]
        assert (report.mr_service_td.hex() if report.mr_service_td is not None else None) == expected.get("mr_service_td")


def test_recorded_event_log_replays_to_all_registers() -> None:
    case = recorded.find(_folder(), "tdx/q_dstack_quote-report.dat")
    log = json.loads((_folder() / case["collateral"]["event_log"]).read_bytes())["event_log"]

    events = eventlog.parse(log)
    runtime = eventlog.replay(events, parse_quote(recorded.quote(_folder(), case)).td_report)

    assert len(events) == case["expect"]["event_log_events"]
    assert eventlog.boot_payload(runtime, "compose-hash", "compose.hash").hex().startswith("3763bc34")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize(
    ("file", "stride"),
    [
        ("tdx/q_v4_dcapqvl_a.dat", 17),
        ("tdx/q_v5_gotdx_sample.dat", 17),
        pytest.param("tdx/q_v4_dcapqvl_a.dat", 1, marks=pytest.mark.slow),
        pytest.param("tdx/q_v5_gotdx_sample.dat", 1, marks=pytest.mark.slow),
        pytest.param("tdx/q_oak_tdx_oc_evidence.dat", 1, marks=pytest.mark.slow),
    ],
)
def test_no_flipped_bit_of_a_real_quote_is_accepted(file: str, stride: int) -> None:
    """One bit in every `stride`th byte, from header to padding; the slow cases take every byte."""
    case = recorded.find(_folder(), file)
    quote, collateral = recorded.quote(_folder(), case), recorded.collateral(_folder(), case["collateral"])
    now = recorded.seconds(case)

    for at in range(0, len(quote), stride):
        flipped = bytearray(quote)
        flipped[at] ^= 1 << at % 8
        appraisal = appraise_quote(bytes(flipped), collateral, recorded.HARDWARE, now, compare_measurements=False)
        assert not appraisal.accepted, at
