"""Real quotes of real machines: each recorded case gets its recorded verdict, at its time, with its collateral."""

import os
from pathlib import Path

import pytest

from ollm.attest.appraise import appraise_quote
from ollm.attest.dstack import compose, eventlog, mr_config
from ollm.attest.evidence import TdxCollateral
from ollm.attest.tdx import wanted
from ollm.attest.tdx.layout import parse_quote
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal
from tests.attest import recorded
from tests.attest.service import failing

pytestmark = pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")


def _folder() -> Path:
    return Path(os.environ["OLLM_EVIDENCE_DIR"])


CASES = recorded.cases(_folder()) if os.environ.get("OLLM_EVIDENCE_DIR") else []


def _name(case: recorded.Case) -> str:
    return f"{Path(case['file']).stem}-{case.get('variant', 'plain')}"


def _collateral(case: recorded.Case) -> TdxCollateral:
    """What was recorded; where something is missing, that of its family which is too old."""
    return recorded.collateral(_folder(), case) or recorded.by_roles(_folder(), {"bundle": "tdx/coll_dcapqvl_a.json"})


def _judged(case: recorded.Case, now: int, quote: bytes | None = None) -> Appraisal:
    data = recorded.evidence(_folder(), case).quote if quote is None else quote
    return appraise_quote(data, _collateral(case), recorded.HARDWARE, now, compare_measurements=False)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_recorded_case_gets_its_verdict(case: recorded.Case) -> None:
    appraisal = _judged(case, recorded.seconds(case))

    if case["verdict"] == "accept":
        assert appraisal.accepted, appraisal.failure
        expected, told = case["expect"], appraisal.claims.extra
        assert told["tcb_status"] == expected["tcb_status"] == "UpToDate"
        assert told["tcb_evaluation_data_number"] == str(expected["tcb_evaluation_data_number"])
        assert told["fmspc"] == expected["fmspc"]
        assert [told[f"rtmr{index}"] for index in range(4)] == [expected[f"rt_mr{index}"] for index in range(4)]
        assert told["tdx_module_tcb_status"] == told["qe_tcb_status"] == "UpToDate"
        assert told["tcb_date"] <= case["at"]
        assert appraisal.claims.tee_attested.status == appraisal.claims.tcb_up_to_date.status == "asserted"
        assert appraisal.valid_until == recorded.seconds({"at": case["valid_window"][1]})
        assert appraisal.warnings == ()
    elif case["verdict"] == "refuse":
        assert recorded.REASONS[failing(appraisal) or "accepted"] in case["all_reasons"]
    else:
        assert recorded.collateral(_folder(), case) is None
        assert failing(appraisal) == "collateral.validity"


@pytest.mark.parametrize("case", [case for case in CASES if case["verdict"] == "accept"], ids=_name)
@pytest.mark.parametrize("end", [0, 1])
def test_recorded_evidence_holds_to_the_second(case: recorded.Case, end: int) -> None:
    edge = recorded.seconds({"at": case["valid_window"][end]}) - end  # the end itself is outside

    assert failing(_judged(case, edge)) is None
    assert failing(_judged(case, edge + (-1, 1)[end])) == "collateral.validity"


@pytest.mark.parametrize("file", recorded.WITH_APPENDED_TEXT)
def test_text_appended_to_a_quote_is_refused(file: str) -> None:
    with pytest.raises(EvidenceRefused) as refusal:
        parse_quote((_folder() / file).read_bytes())
    assert refusal.value.check == "quote.format"


def test_recorded_fields_are_read_as_recorded() -> None:
    for case in CASES:
        if "quote_version" not in case["expect"]:
            continue
        quote, expected = parse_quote(recorded.evidence(_folder(), case).quote), case["expect"]
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
    evidence = recorded.evidence(_folder(), case)

    events = eventlog.parse(evidence.event_log or "")
    runtime = eventlog.replay(events, parse_quote(evidence.quote).td_report)

    assert len(events) == case["expect"]["event_log_events"]
    assert eventlog.boot_payload(runtime, "compose-hash", "compose.hash").hex().startswith("3763bc34")


def test_recorded_answers_of_providers_replay_and_state_one_compose_file() -> None:
    answers = recorded.dstack_answers(_folder())
    images = set()
    for answer in answers:
        report = parse_quote(answer.quote).td_report
        wanted.check_xfam(report)
        runtime = eventlog.replay(eventlog.parse(answer.event_log or ""), report)
        if answer.app_compose is not None:
            mr_config.check_mr_config_id(report.mr_config_id, compose.check_hash(answer.app_compose, runtime), runtime, None)
            images.add(eventlog.boot_payload(runtime, "os-image-hash", "event_log.replay").hex()[:8])

    assert len(answers) >= 6
    assert images == {"9b69bb16", "da9a3d5c"}


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("file", "stride"),
    [
        ("tdx/q_v4_dcapqvl_a.dat", 29),
        ("tdx/q_v5_gotdx_sample.dat", 29),
        pytest.param("tdx/q_v4_dcapqvl_a.dat", 1, marks=pytest.mark.exhaustive),
        pytest.param("tdx/q_v5_gotdx_sample.dat", 1, marks=pytest.mark.exhaustive),
        pytest.param("tdx/q_oak_tdx_oc_evidence.dat", 1, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF], ids=lambda mask: f"{mask:02x}")
def test_no_changed_byte_of_a_real_quote_is_accepted(file: str, stride: int, mask: int) -> None:
    """From header to padding: nothing in a quote may change, not even what nobody signed. The slow cases take every byte."""
    case = recorded.find(_folder(), file)
    quote, collateral, now = recorded.evidence(_folder(), case).quote, _collateral(case), recorded.seconds(case)

    accepted = []
    for at in range(0, len(quote), stride):
        changed = bytearray(quote)
        changed[at] ^= mask
        if appraise_quote(bytes(changed), collateral, recorded.HARDWARE, now, compare_measurements=False).accepted:
            accepted.append(at)
    assert accepted == []
