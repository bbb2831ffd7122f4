"""Recorded evidence of real devices, and NVIDIA's own reference files: each case gets its verdict, at its time, for its reason."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import NvidiaEvidence
from ollm.attest.nvidia import appraise, chain, firmware, fwid, layout, ocsp, rim
from ollm.errors import EvidenceRefused
from ollm.values.policy import NvidiaPolicy
from tests.attest import recorded_nvidia as recorded
from tests.attest.recorded import seconds

pytestmark = pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")

FOLDER = Path(os.environ.get("OLLM_EVIDENCE_DIR", "."))
RIMS, DEVICES = ((recorded.cases(FOLDER, kind) if os.environ.get("OLLM_EVIDENCE_DIR") else []) for kind in ("rim", "gpu-evidence"))
HOPPER = "gonv_test_raw_gpu_attestation_report.dat"
HOPPER_CHAIN = "nvidia/gonv_test_gpu_attestation_certificate_chain.dat"


def _name(case: recorded.Case) -> str:
    return f"{Path(case['file']).stem}-{case.get('variant', 'plain')}"


def _verdict(judge: Callable[[], object]) -> str | None:
    """The check that refuses, or None."""
    try:
        judge()
    except EvidenceRefused as error:
        return error.check
    return None


def _agrees(case: recorded.Case, check: str | None) -> bool:
    if case["verdict"] == "accept":
        return check is None
    reason = recorded.REASONS.get(check or "")
    return reason == "endorsement_missing" if case["verdict"] == "indeterminate" else reason in case["all_reasons"]


@pytest.mark.parametrize("case", RIMS, ids=_name)
def test_a_recorded_reference_file_gets_its_verdict(case: recorded.Case) -> None:
    data, policy = (FOLDER / case["file"]).read_bytes(), recorded.policy(case, FOLDER)
    found: list[rim.Rim] = []
    check = _verdict(lambda: found.append(recorded.appraise_rim(data, policy, seconds(case))))
    assert _agrees(case, check), check
    if case["verdict"] == "accept":
        expected = case["expect"]
        assert (found[0].version, found[0].product, len(found[0].references)) == (expected["version"], expected["product"], expected["active"])


@pytest.mark.parametrize("case", DEVICES, ids=_name)
def test_a_recorded_device_gets_its_verdict(case: recorded.Case) -> None:
    collateral, policy = recorded.collateral(FOLDER, case), recorded.policy(case)
    items = list(zip(recorded.evidence(FOLDER, case), recorded.expected(case), strict=True))
    assert items
    for evidence, expected in items:
        trail = Trail(appraise.plan(policy))
        nonce = recorded.nonce(case)
        check = _verdict(lambda: appraise.genuine_device(trail, evidence, collateral, policy, seconds(case), nonce=nonce))  # noqa: B023 - called at once
        assert _agrees(case, check), check
        if case["verdict"] == "accept":
            trail.completed()
            facts = appraise.genuine_device(trail, evidence, collateral, policy, seconds(case), nonce=nonce)
            assert facts.device_id == expected["leaf_serial"].removeprefix("0x")
            assert (facts.facts["driver"], facts.facts["vbios"]) == (expected["driver"], expected["vbios"])
            assert facts.facts["measurements"].startswith("33 equal")
            assert facts.valid_until == seconds({"at": case["valid_window"][1]})


@pytest.mark.parametrize("case", [case for case in RIMS if case["verdict"] == "accept"], ids=_name)
@pytest.mark.parametrize("end", [0, 1])
def test_a_recorded_reference_file_holds_to_the_second(case: recorded.Case, end: int) -> None:
    data, edge = (FOLDER / case["file"]).read_bytes(), seconds({"at": case["valid_window"][end]}) - end  # the end itself is outside
    assert _verdict(lambda: recorded.appraise_rim(data, NvidiaPolicy(), edge)) is None
    assert _verdict(lambda: recorded.appraise_rim(data, NvidiaPolicy(), edge + (-1, 1)[end])) == "rim.validity"


@pytest.mark.parametrize("case", [case for case in DEVICES if case["verdict"] != "refuse"], ids=_name)
def test_recorded_fields_are_read_as_recorded(case: recorded.Case) -> None:
    for evidence, expected in zip(recorded.evidence(FOLDER, case), recorded.expected(case), strict=True):
        report, certificates = layout.parse_report(evidence.report), chain.load_device_chain(evidence.certificate_chain)
        device = chain.identify(certificates)
        runs = firmware.read(report, device)
        assert (report.nonce.hex(), len(report.measurements)) == (expected["nonce"], expected["measurements"])
        assert (runs.driver, runs.vbios, device.serial) == (expected["driver"], expected["vbios"], expected["leaf_serial"].removeprefix("0x"))
        stated = report.opaque.get(layout.FWID)
        assert (stated is None) == (expected["fwid"] == "absent")
        fwid.check_fwid(stated, fwid.leaf_fwid(certificates[0]))


def test_recorded_answers_about_a_chip_of_hopper() -> None:
    links = ocsp.device_links(recorded.load_chain(FOLDER, HOPPER_CHAIN))
    answers = ocsp.parse(recorded.ocsp_responses(FOLDER, "gpu_certificate_l2", "gpu_certificate_l3", "gpu_certificate_l4"))

    def ends(now: int) -> int:
        found = ocsp.check_responders(answers, links, now)
        ocsp.check_status(found)
        return min(period.end for period in ocsp.check_present(found, links, now))

    first, last = _at("2025-08-21T06:47:08Z"), _at("2025-08-22T06:47:07Z")
    assert ends(first) == ends(last - 1) == last
    assert [_verdict(lambda now=now: ends(now)) for now in (first - 1, last)] == ["ocsp.present"] * 2  # type: ignore[misc]


def test_recorded_answers_about_the_signers_of_both_reference_files() -> None:
    case = recorded.find(FOLDER, HOPPER)
    files = [rim.parse((FOLDER / case["collateral"][role]).read_bytes(), role) for role in ("driver_rim", "vbios_rim")]
    links = [link for file in files for link in ocsp.signer_links(file.chain, file.signer_names)]
    answers = ocsp.parse(recorded.ocsp_responses(FOLDER, "gpu_rim_l2", "gpu_driver_rim_l3", "gpu_driver_rim_l4", "gpu_vbios_l4"))
    now = _at("2025-10-24T20:00:00Z")

    found = ocsp.check_responders(answers, links, now)
    ocsp.check_status(found)
    assert len(ocsp.check_present(found, links, now)) == 6  # the two CAs of each file are the same two


def test_recorded_answers_stand_for_no_other_certificate() -> None:
    other = recorded.load_chain(FOLDER, "nvidia/trustee_hopper_coco_certs1.txt")
    (answer,) = ocsp.parse(recorded.ocsp_responses(FOLDER, "gpu_certificate_l4"))
    assert _verdict(lambda: ocsp.check_responders([answer], ocsp.device_links(other), _at("2025-08-21T12:00:00Z"))) == "ocsp.responder"


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # a flip can make a serial number negative
@pytest.mark.parametrize("stride", [41, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(600)])])
def test_no_flipped_byte_of_a_real_report_is_accepted(stride: int) -> None:
    case = recorded.find(FOLDER, HOPPER)
    (evidence,) = recorded.evidence(FOLDER, case)
    collateral, policy, nonce = recorded.collateral(FOLDER, case), recorded.policy(case), recorded.nonce(case)
    for at in range(0, len(evidence.report), stride):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(evidence.report)
            flipped[at] ^= mask
            bent = NvidiaEvidence(report=bytes(flipped), certificate_chain=evidence.certificate_chain)
            trail = Trail(appraise.plan(policy))
            check = _verdict(lambda: appraise.genuine_device(trail, bent, collateral, policy, seconds(case), nonce=nonce))  # noqa: B023 - called at once
            assert check in ("device.format", "device.architecture", "device.signature"), at


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("stride", [997, pytest.param(1, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)])])
def test_no_flipped_byte_changes_what_a_real_reference_file_says(stride: int) -> None:
    case = recorded.find(FOLDER, "gonv_rim_NV_GPU_DRIVER_GH100_550.90.07.xml")
    data = (FOLDER / case["file"]).read_bytes()
    genuine = recorded.appraise_rim(data, NvidiaPolicy(), seconds(case))
    for at in range(0, len(data), stride):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(data)
            flipped[at] ^= mask
            found: list[rim.Rim] = []
            _verdict(lambda: found.append(recorded.appraise_rim(bytes(flipped), NvidiaPolicy(), seconds(case))))  # noqa: B023 - called at once
            assert found in ([], [genuine]), at


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())
