"""Drafts from SEV-SNP reports."""

from typing import Any

import msgspec
import pytest

from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, SnpEvidence
from ollm.attest.machine import appraise_machine
from ollm.testing.mint.snp import CSP_ID, SnpMachine
from ollm.testing.mint.snp_certificates import create_pki
from ollm.values.checks import Appraisal
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, SnpTcb
from tests.config.draft.reviewing import drafted, reviewed, tree
from tests.sim.hardware import NOW


@pytest.fixture(scope="module", params=["Genoa", "Turin"])
def chip(request: pytest.FixtureRequest) -> SnpMachine:
    return SnpMachine(create_pki(request.param, NOW), NOW)


@pytest.fixture(scope="module")
def genoa() -> SnpMachine:
    return SnpMachine(create_pki("Genoa", NOW), NOW)


def evidence(chip: SnpMachine, **fields: Any) -> SnpEvidence:
    return SnpEvidence(report=chip.report(**fields))


def simulated(text: str, chip: SnpMachine, **members: Any) -> AttestationPolicy:
    """`text`, reviewed for tests: a report doesn't say that its chip is simulated."""
    policy = reviewed(text, snp=members)
    return msgspec.structs.replace(policy, level=Level.SIMULATED, snp=msgspec.structs.replace(policy.snp, simulated_root_sha256=chip.pki.root_sha256))


def appraised(chip: SnpMachine, policy: AttestationPolicy, **fields: Any) -> Appraisal:
    whole = MachineEvidence(cpu=evidence(chip, **fields))
    return appraise_machine(whole, MachineCollateral(cpu=chip.collateral()), policy, NOW, expected=Expected())


def test_a_reviewed_draft_accepts_that_report_and_no_other_launch(chip: SnpMachine) -> None:
    policy = simulated(drafted(evidence(chip)), chip)
    appraisal = appraised(chip, policy)
    assert appraisal.accepted, appraisal.failure
    for changed in ({"measurement": b"\xa2" * 48}, {"host_data": b"\x01" * 32}, {"image_id": b"\x01" * 16}):
        failure = appraised(chip, policy, **changed).failure
        assert failure is not None
        assert failure.name == "snp.reference_values"


def test_firmware_below_the_machines_own_is_refused(genoa: SnpMachine) -> None:
    rules = tree(drafted(evidence(genoa)))
    assert rules["snp"]["min_tcb"] == {"Genoa": {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}}
    older = SnpMachine(genoa.pki, NOW, tcb=SnpTcb(bootloader=4, tee=0, snp=23, microcode=219))
    failure = appraised(older, simulated(drafted(evidence(genoa)), genoa)).failure
    assert failure is not None
    assert failure.name == "snp.tcb"


def test_two_machines_share_the_lower_firmware(genoa: SnpMachine) -> None:
    older = SnpMachine(genoa.pki, NOW, tcb=SnpTcb(bootloader=4, tee=0, snp=23, microcode=230))
    rules = tree(drafted(evidence(genoa), evidence(older)))
    assert rules["snp"]["min_tcb"]["Genoa"] == {"bootloader": 4, "tee": 0, "snp": 23, "microcode": 219}
    assert len(rules["snp"]["reference_values"]) == 1


def test_a_report_that_does_not_name_its_line_leaves_the_choice(genoa: SnpMachine) -> None:
    rules = tree(drafted(evidence(genoa, version=2, cpuid=(0, 0, 0), mitigations=(0, 0))))
    assert rules["snp"]["products"] == ["Genoa", "Milan"]
    assert set(rules["snp"]["min_tcb"]) == {"Genoa", "Milan"}


def test_the_guests_own_restrictions_are_kept(genoa: SnpMachine) -> None:
    loose = tree(drafted(evidence(genoa)))["snp"]
    assert (loose["allow_smt"], loose["require_single_socket"]) == (True, False)
    tight = tree(drafted(evidence(genoa, policy=0x120000)))["snp"]
    assert (tight["allow_smt"], tight["require_single_socket"]) == (False, True)


def test_a_providers_key_needs_a_person_who_knows_the_provider() -> None:
    chip = SnpMachine(create_pki("Milan", NOW), NOW, vlek=True)
    text = drafted(evidence(chip))
    assert (tree(text)["snp"]["allow_vlek"], tree(text)["snp"]["vlek_csp_ids"]) == (True, [])
    assert "chips = " not in text
    policy = simulated(text, chip, vlek_csp_ids=[CSP_ID])
    appraisal = appraised(chip, policy)
    assert appraisal.accepted, appraisal.failure


def test_privilege_levels_are_kept_where_they_are_not_the_highest(genoa: SnpMachine) -> None:
    assert "vmpls" not in tree(drafted(evidence(genoa)))["snp"]
    assert tree(drafted(evidence(genoa, vmpl=1), evidence(genoa)))["snp"]["vmpls"] == [0, 1]


def test_what_no_policy_accepts_is_said(genoa: SnpMachine) -> None:
    text = drafted(evidence(genoa, policy=0xF0000, vmpl=0xFFFFFFFF)).replace("\n# ", " ")
    for check in ("snp.debug", "snp.migration", "snp.vmpl"):
        assert f"{check}: got" in text
    assert "vmpls = " not in text
    assert f'# chips = ["{genoa.chip_id.hex()}"]' in drafted(evidence(genoa)).splitlines()
