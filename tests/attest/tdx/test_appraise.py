"""The steps of a TDX machine, without any provider's report around it."""

import msgspec
import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import TdxEvidence
from ollm.attest.tdx import appraise
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.values.policy import AttestationPolicy
from tests.sim.hardware import NOW, REPORT_DATA


def test_a_machine_in_order_gives_its_facts_and_its_software(machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    trail = Trail((*appraise.plan(policy.tdx, compare=False), *appraise.software_plan(policy)))
    evidence = TdxEvidence(quote=machine.quote(REPORT_DATA), event_log=machine.event_log_json, app_compose=machine.app_compose)

    quote, facts = appraise.genuine_quote(trail, evidence.quote, machine.collateral(), policy.tdx, NOW)
    software = appraise.wanted_software(trail, quote, evidence, policy)

    assert trail.completed()
    assert facts.report_data == REPORT_DATA
    assert facts.identity == quote.identity
    assert facts.valid_until == NOW - 300 + 30 * 86_400
    assert software.matching == policy.tdx.reference_values
    assert software.accepting is policy.tdx.reference_values[0]
    assert software.compose_hash == machine.compose_hash.hex()
    assert software.runtime[0].name == "system-preparing"


def test_the_plan_compares_measurements_unless_told_not_to(policy: AttestationPolicy) -> None:
    assert set(appraise.plan(policy.tdx)) - set(appraise.plan(policy.tdx, compare=False)) == {"measurement.reference_values"}


@pytest.mark.parametrize(("missing", "check"), [("event_log", "event_log.format"), ("app_compose", "compose.hash")])
def test_what_is_absent_is_refused(machine: SimulatedMachine, policy: AttestationPolicy, missing: str, check: str) -> None:
    trail = Trail((*appraise.plan(policy.tdx, compare=False), *appraise.software_plan(policy)))
    evidence = TdxEvidence(quote=machine.quote(REPORT_DATA), event_log=machine.event_log_json, app_compose=machine.app_compose)
    quote, _ = appraise.genuine_quote(trail, evidence.quote, machine.collateral(), policy.tdx, NOW)

    with pytest.raises(EvidenceRefused) as refusal:
        appraise.wanted_software(trail, quote, msgspec.structs.replace(evidence, **{missing: None}), policy)
    assert refusal.value.check == check
