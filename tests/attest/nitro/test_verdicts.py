"""Recorded Nitro documents of real enclaves: each case gets its verdict, at its time, for its reason."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import NitroEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.nitro import layout
from ollm.attest.nitro.appraise import genuine_document, plan
from tests.attest import recorded_nitro as recorded
from tests.attest.service import refused_check

pytestmark = pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")


def _folder() -> Path:
    return Path(os.environ["OLLM_EVIDENCE_DIR"])


CASES = recorded.cases(_folder()) if os.environ.get("OLLM_EVIDENCE_DIR") else []
ACCEPTED = [case for case in CASES if case["verdict"] == "accept"]


def _name(case: recorded.Case) -> str:
    return f"{Path(case['file']).stem}-{case.get('variant', 'plain')}"


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _judged(case: recorded.Case, now: int) -> CpuFacts:
    policy = recorded.policy(case)
    trail = Trail(plan(policy, compare=False))
    facts = genuine_document(trail, recorded.evidence(_folder(), case), policy, now, compare=False)
    trail.completed()
    return facts


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_recorded_case_gets_its_verdict(case: recorded.Case) -> None:
    now = _seconds(case["at"])
    if case["verdict"] == "accept":
        facts, expected = _judged(case, now), case["expect"]
        assert facts.facts["module_id"] == expected["module_id"]
        assert {name: pcr for name, pcr in facts.facts.items() if name.startswith("pcr")} == {
            name: pcr for name, pcr in expected.items() if name.startswith("pcr") and name != "pcr_count"
        }
        assert facts.report_data.hex() == (expected["user_data"] or "")
        assert facts.attested.status == "asserted"
        assert facts.valid_until == _seconds(case["valid_window"][1])
    else:
        assert recorded.REASONS[refused_check(lambda: _judged(case, now)) or "accepted"] in case["all_reasons"]


@pytest.mark.parametrize("case", ACCEPTED, ids=_name)
def test_recorded_documents_hold_to_the_second(case: recorded.Case) -> None:
    start, end = (_seconds(edge) for edge in case["valid_window"])
    assert refused_check(lambda: _judged(case, start - 1)) == "nitro.validity"
    assert refused_check(lambda: _judged(case, start)) in (None, "nitro.age")  # some were made hours after their certificate began
    assert refused_check(lambda: _judged(case, end - 1)) is None
    assert refused_check(lambda: _judged(case, end)) == "nitro.validity"


@pytest.mark.parametrize("case", ACCEPTED, ids=_name)
def test_recorded_fields_are_read_as_recorded(case: recorded.Case) -> None:
    document, expected = layout.parse(recorded.evidence(_folder(), case).document), case["expect"]
    assert (document.timestamp_ms, len(document.pcrs)) == (expected["timestamp_ms"], expected["pcr_count"])
    for name in ("public_key", "user_data", "nonce"):
        found, wanted = getattr(document, name), expected[name]
        assert (found is None) is (wanted is None)
        if isinstance(wanted, str):
            assert found.hex() == wanted


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize(
    ("file", "stride"), [("d_marlin_aws", 29), ("d_dstack_nsm", 29), pytest.param("d_marlin_aws", 1, marks=pytest.mark.exhaustive)]
)
def test_no_flipped_byte_of_a_real_document_is_accepted(file: str, stride: int) -> None:
    case = next(case for case in ACCEPTED if Path(case["file"]).stem == file)
    document, now, policy = recorded.evidence(_folder(), case).document, _seconds(case["at"]), recorded.policy(case)
    for at in range(0, len(document), stride):
        for mask in (0x01, 0x80, 0xFF):
            flipped = document[:at] + bytes([document[at] ^ mask]) + document[at + 1 :]
            evidence = NitroEvidence(document=flipped)
            trail = Trail(plan(policy, compare=False))
            assert refused_check(lambda: genuine_document(trail, evidence, policy, now, compare=False)) is not None, (at, mask)  # noqa: B023
