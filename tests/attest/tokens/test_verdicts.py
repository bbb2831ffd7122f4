"""Recorded tokens of NVIDIA's attestation service: each gets its verdict at its time; captured ones verify under the captured keys."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import NrasCollateral, NrasEvidence
from ollm.attest.facts import DeviceFacts
from ollm.attest.tokens.appraise import judged_devices, plan
from ollm.attest.tokens.jws import decode_base64url
from ollm.errors import EvidenceRefused
from ollm.values.policy import NvidiaPolicy
from tests.attest import recorded_tokens as recorded
from tests.attest.service import refused_check

pytestmark = pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")


def _folder() -> Path:
    return Path(os.environ["OLLM_EVIDENCE_DIR"])


CASES = recorded.cases(_folder()) if os.environ.get("OLLM_EVIDENCE_DIR") else []
CAPTURES = recorded.captures(_folder()) if os.environ.get("OLLM_EVIDENCE_DIR") else []
POLICY = NvidiaPolicy(accept=("nras",))


def _judged(evidence: NrasEvidence, collateral: NrasCollateral, now: int, nonce: bytes | None) -> tuple[DeviceFacts, ...]:
    trail = Trail(plan(POLICY))
    devices = judged_devices(trail, evidence, collateral, POLICY, now, nonce=nonce)
    trail.completed()
    return devices


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["file"]).stem)
def test_a_recorded_case_gets_its_verdict(case: recorded.Case) -> None:
    now = int(datetime.fromisoformat(case["at"]).timestamp())
    evidence, collateral = recorded.evidence(_folder(), case), recorded.collateral(_folder(), case)
    check = refused_check(lambda: _judged(evidence, collateral, now, recorded.nonce(case)))
    assert recorded.REASONS[check or "accepted"] in case.get("all_reasons", [case["reason"]])


@pytest.mark.parametrize("responses", CAPTURES, ids=lambda path: path.parent.name[:40])
def test_a_captured_answer_gets_the_verdict_that_the_service_gave(responses: Path) -> None:
    evidence, collateral, nonce, now = recorded.captured(responses)
    asked_well = b"NONCE_NOT_MATCHING" not in b"".join(_payloads(evidence))  # some providers' reports were made for another nonce

    if not asked_well:
        with pytest.raises(EvidenceRefused, match="NONCE_NOT_MATCHING") as refusal:
            _judged(evidence, collateral, now, nonce)
        assert refusal.value.check == "nras.result"
        return
    devices = _judged(evidence, collateral, now, nonce)
    assert len(devices) in (1, 8)
    assert len({device.device_id for device in devices}) == len(devices)
    assert {(device.kind, device.model, device.nonce, device.by, device.valid_until) for device in devices} == {
        ("gpu", "Hopper", nonce, "nras", now + 3600)
    }
    # Not before, not after, and for no other nonce or keys.
    assert refused_check(lambda: _judged(evidence, collateral, now - 61, nonce)) == "nras.validity"
    assert refused_check(lambda: _judged(evidence, collateral, now + 3600, nonce)) == "nras.validity"
    assert refused_check(lambda: _judged(evidence, collateral, now, bytes(32))) == "nras.nonce"
    assert refused_check(lambda: _judged(evidence, recorded.NO_KEYS, now, nonce)) == "nras.key"


def _payloads(evidence: NrasEvidence) -> list[bytes]:
    return [decode_base64url(token.split(".")[1]) or b"" for token in json.loads(evidence.token)[1].values()]


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("stride", [31, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_no_flipped_byte_of_a_real_bundle_is_accepted(stride: int) -> None:
    responses = next(path for path in CAPTURES if "tinfoil" in str(path))
    evidence, collateral, nonce, now = recorded.captured(responses)
    data = evidence.token
    for at in range(0, len(data), stride):
        for mask in (0x01, 0x80, 0xFF):
            bent = NrasEvidence(token=data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
            assert refused_check(lambda: _judged(bent, collateral, now, nonce)) is not None, (at, mask)  # noqa: B023
