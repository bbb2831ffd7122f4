"""Drafts from TDX quotes: with log and compose file, and without."""

import msgspec
import pytest

from ollm.attest.dstack.eventlog import RuntimeEvent
from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, TdxEvidence
from ollm.attest.machine import appraise_machine
from ollm.config.draft import tdx
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import Appraisal
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from tests.config.draft.reviewing import drafted, reviewed, tree
from tests.sim.hardware import NOW, REPORT_DATA


def evidence(machine: SimulatedMachine, *, explained: bool = True) -> TdxEvidence:
    log = (machine.event_log_json, machine.app_compose) if explained else (None, None)
    return TdxEvidence(quote=machine.quote(REPORT_DATA), event_log=log[0], app_compose=log[1])


def appraised(machine: SimulatedMachine, policy: AttestationPolicy, *, explained: bool = True) -> Appraisal:
    whole = MachineEvidence(cpu=evidence(machine, explained=explained))
    return appraise_machine(whole, MachineCollateral(cpu=machine.collateral()), policy, NOW, expected=Expected())


@pytest.mark.parametrize("explained", [True, False])
def test_a_reviewed_draft_accepts_that_machine_and_no_other_build(machine: SimulatedMachine, explained: bool) -> None:
    policy = reviewed(drafted(evidence(machine, explained=explained)))
    appraisal = appraised(machine, policy, explained=explained)
    assert appraisal.accepted, appraisal.failure
    other = SimulatedMachine(machine.pki, machine.clock, build="another")
    assert not appraised(other, policy, explained=explained).accepted
    application = SimulatedMachine(machine.pki, machine.clock, app_name="another")
    assert not appraised(application, policy, explained=explained).accepted


def test_with_its_log_the_compose_file_is_pinned_and_rtmr3_is_not(machine: SimulatedMachine) -> None:
    rules = tree(drafted(evidence(machine)))
    (values,) = rules["tdx"]["reference_values"]
    assert values["compose_hashes"] == [machine.compose_hash.hex()]
    assert {"mrtd", "rtmr0", "rtmr1", "rtmr2"} <= set(values)
    assert not {"rtmr3", "mr_seam", "mr_config_id"} & set(values)
    assert "require_compose" not in rules


def test_without_them_rtmr3_speaks_for_the_application(machine: SimulatedMachine) -> None:
    text = drafted(evidence(machine, explained=False))
    rules = tree(text)
    assert (rules["require_compose"], rules["require_event_log"]) == (False, False)
    assert rules["tdx"]["reference_values"][0]["rtmr3"] == machine.td_report.rtmr3.hex()
    assert "compose_hashes" not in rules["tdx"]["reference_values"][0]
    assert "draft from evidence that has both" in text.replace("\n# ", " ")


def test_a_log_without_a_compose_file_is_still_demanded(machine: SimulatedMachine) -> None:
    rules = tree(drafted(TdxEvidence(quote=machine.quote(REPORT_DATA), event_log=machine.event_log_json)))
    assert rules["require_compose"] is False
    assert "require_event_log" not in rules


def test_a_log_that_does_not_replay_is_no_evidence(machine: SimulatedMachine) -> None:
    other = SimulatedMachine(machine.pki, machine.clock, build="another")
    with pytest.raises(EvidenceRefused, match=r"event_log\.replay"):
        tdx.measured(TdxEvidence(quote=machine.quote(REPORT_DATA), event_log=other.event_log_json))


def test_what_a_reviewer_may_take_stands_in_comments(machine: SimulatedMachine) -> None:
    lines = drafted(evidence(machine)).splitlines()
    assert f'# platforms = ["{machine.platform.ppid.hex()}"]' in lines
    assert "# min_tcb_evaluation_data_number = 0" in lines
    assert f'# mr_seam = "{machine.td_report.mr_seam.hex()}"' in lines


def test_simulated_hardware_is_never_drafted_as_tee(machine: SimulatedMachine) -> None:
    rules = tree(drafted(evidence(machine)))
    assert rules["level"] == "simulated"
    assert rules["tdx"]["simulated_root_sha256"] == machine.pki.root_sha256
    unmarked = SimulatedMachine(machine.pki, machine.clock, marked=False)
    assert reviewed(drafted(evidence(unmarked))).level is Level.TEE


def test_what_no_policy_accepts_is_said(machine: SimulatedMachine) -> None:
    debug = machine.quote_report(msgspec.structs.replace(machine.td_report, td_attributes=bytes([1]) + bytes(7)))
    text = drafted(TdxEvidence(quote=debug)).replace("\n# ", " ")
    assert "No policy drafted here accepts 0.bin" in text
    assert "quote.debug: got debug mode" in text
    assert "quote.sept_ve_disable" in text
    assert "No policy drafted here" not in drafted(evidence(machine))


def test_the_image_is_pinned_where_the_guest_names_it(machine: SimulatedMachine) -> None:
    runtime = [("os-image-hash", bytes(range(32))), ("system-ready", b"")]
    events = tuple(RuntimeEvent(name, payload) for name, payload in runtime)
    assert tdx.image_hash(events) == bytes(range(32)).hex()
    assert tdx.image_hash(events[1:]) is None
    assert tdx.image_hash((RuntimeEvent("os-image-hash", b"short"), events[1])) is None
