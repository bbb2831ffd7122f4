"""Instances are judged each alone: one that passes is bound, and every part of what it is bound by counts."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ollm.attest.evidence import MachineCollateral, NrasEvidence
from ollm.attest.services import door
from ollm.attest.services.chutes.appraise import MAX_JUDGED, candidates, machines, nras_role, unheard
from ollm.attest.services.chutes.report import read
from ollm.attest.services.question import Question
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint import nvidia
from ollm.testing.mint.x509 import create_root
from ollm.testing.providers.chutes import FakeInstance, der
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy
from tests.attest.service import failing
from tests.attest.services.chutes.instances import DEMAND, NONCE, judged, own, passed_on, without_log
from tests.sim.hardware import NOW, FrozenClock


@pytest.fixture
def instances(machine: SimulatedMachine) -> list[FakeInstance]:
    return [FakeInstance(machine, number, NOW) for number in range(2)]


@pytest.fixture
def wanted(policy: AttestationPolicy) -> AttestationPolicy:
    return without_log(policy)


def test_the_first_instance_that_passes_is_bound(instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy) -> None:
    appraisal, bound = judged(own(instances), machine, wanted)
    assert appraisal.accepted and bound is not None
    assert bound.spkis == () and bound.channel_custody == "unknown"
    assert bound.identity == {"instance_id": instances[0].instance_id}
    [key] = bound.sealing
    assert (key.cipher, key.algorithm, key.custody) == ("chutes-e2ee-v1", "ml-kem-768", "instance")
    assert key.public_key == instances[0].recipient.public_key
    names = [check.name for check in appraisal.checks]
    assert names[:3] == ["chutes.format", "chutes.instances", "chutes.key"]
    assert names[-2:] == ["binding.statement", "key.custody"]
    assert {check.target for check in appraisal.checks} == {"", "instance0"}
    assert "which container" in appraisal.claims.extra["unproven"] and "not an old one" not in appraisal.claims.extra["unproven"]


def test_an_instance_that_is_refused_is_named_and_the_next_is_bound(
    instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy
) -> None:
    other = FakeInstance(SimulatedMachine(machine.pki, FrozenClock(), build="another-build"), 7, NOW)
    appraisal, bound = judged(own([other, *instances]), machine, wanted)
    assert bound is not None and bound.identity["instance_id"] == instances[0].instance_id
    [warning] = [text for text in appraisal.warnings if "refused" in text]
    assert warning.startswith(f"instance {other.instance_id} was refused: measurement.reference_values: got ")


def test_when_none_passes_each_ones_checks_are_there(instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy) -> None:
    nothing = msgspec.structs.replace(wanted, tdx=msgspec.structs.replace(wanted.tdx, reference_values=()))
    appraisal, bound = judged(own(instances), machine, nothing)
    assert bound is None and failing(appraisal) == "measurement.reference_values"
    assert {check.target for check in appraisal.checks} == {"", "instance0", "instance1"}


def each(member: str, value: Callable[[Any], Any]) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    """The same change in all instances."""

    def change(listing: dict[str, Any], report: dict[str, Any]) -> None:
        for entry in listing["instances"] if member == "e2e_pubkey" else report["evidence"]:
            entry[member] = value(entry[member])

    return change


def flipped(at: int) -> Callable[[str], str]:
    def flip(text: str) -> str:
        data = bytearray(base64.b64decode(text))
        data[at] ^= 1
        return base64.b64encode(data).decode()

    return flip


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (each("e2e_pubkey", flipped(5)), "binding.statement"),
        (each("e2e_pubkey", lambda text: text[:-4] + "AAAA"), "chutes.key"),
        (each("e2e_pubkey", lambda text: base64.b64encode(b"\xff" * 1184).decode()), "chutes.key"),
        (each("e2e_pubkey", lambda text: base64.b64encode(b"\xff" * 32).decode()), "chutes.key"),
        (each("e2e_pubkey", lambda text: "!"), "chutes.key"),
        (each("certificate", lambda text: der(create_root("attestation-service", NOW).certificate)), "binding.statement"),
        (each("quote", flipped(200)), "quote.signature"),
        (each("quote", flipped(600)), "quote.signature"),
    ],
)
def test_one_thing_changed_is_seen_by_its_check(
    change: Callable[[dict[str, Any], dict[str, Any]], object],
    check: str,
    instances: list[FakeInstance],
    machine: SimulatedMachine,
    wanted: AttestationPolicy,
) -> None:
    appraisal, bound = judged(own(instances, change), machine, wanted)
    assert bound is None and failing(appraisal) == check


def test_evidence_over_another_nonce_is_refused(instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy) -> None:
    assert failing(judged(own(instances, nonce=Hex32("00" * 32)), machine, wanted)[0]) == "binding.statement"


def test_a_policy_that_demands_a_log_refuses(instances: list[FakeInstance], machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    assert failing(judged(own(instances), machine, policy)[0]) == "event_log.format"


def test_what_nobody_can_read_is_passed_over(instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy) -> None:
    instances[0].unreadable = True
    _, bound = judged(own(instances), machine, wanted)
    assert bound is not None and bound.identity["instance_id"] == instances[1].instance_id
    instances[1].unreadable = True
    appraisal, bound = judged(own(instances), machine, wanted)
    assert bound is None and failing(appraisal) == "chutes.instances"


def test_no_more_than_some_are_judged(machine: SimulatedMachine) -> None:
    evidence = own([FakeInstance(machine, number, NOW) for number in range(MAX_JUDGED + 1)])
    assert len(machines(evidence)) == MAX_JUDGED


def test_collateral_of_another_number_of_machines_is_refused(
    instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy
) -> None:
    appraisal, bound = door.appraise(Question(own(instances), (MachineCollateral(cpu=machine.collateral()),), (), wanted, NOW, DEMAND))
    assert bound is None and failing(appraisal) == "machine.collateral"


def test_an_instance_without_collateral_is_refused_alone(instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy) -> None:
    evidence = own(instances)
    endorsed = (MachineCollateral(cpu=None), MachineCollateral(cpu=machine.collateral()))
    appraisal, bound = door.appraise(Question(evidence, endorsed, (), wanted, NOW, DEMAND))
    assert bound is not None and bound.identity["instance_id"] == instances[1].instance_id
    assert "machine.collateral" in appraisal.warnings[-1]
    assert door.alternatives(evidence, DEMAND)


# As a gateway passes it on


def test_evidence_over_the_gateways_nonce_is_refused(instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy) -> None:
    appraisal, bound = judged(passed_on(instances, nonce="77" * 32), machine, wanted)
    assert bound is None and failing(appraisal) == "chutes.nonce"


def test_unless_the_policy_takes_it_and_then_the_claims_say_what_that_means(
    instances: list[FakeInstance], machine: SimulatedMachine, policy: AttestationPolicy
) -> None:
    appraisal, bound = judged(passed_on(instances, nonce="77" * 32), machine, without_log(policy, freshness="server"))
    assert appraisal.accepted and bound is not None
    assert "not an old one" in appraisal.claims.extra["unproven"]


def test_evidence_over_our_nonce_is_taken_from_a_gateway_too(
    instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy
) -> None:
    appraisal, bound = judged(passed_on(instances), machine, wanted)
    assert bound is not None
    assert "not an old one" not in appraisal.claims.extra["unproven"]
    assert [check.name for check in appraisal.checks][:3] == ["chutes.format", "chutes.nonce", "chutes.instances"]


# GPUs


@pytest.fixture
def hierarchy() -> nvidia.Hierarchy:
    return nvidia.create(NOW)


def with_gpus(instances: list[FakeInstance], hierarchy: nvidia.Hierarchy, number: int = 2) -> tuple[nvidia.Device, ...]:
    devices = tuple(hierarchy.device() for _ in range(number))
    for instance in instances:
        instance.devices = devices
    return devices


def test_gpus_that_signed_the_machines_statement_are_judged(
    instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy, hierarchy: nvidia.Hierarchy
) -> None:
    devices = with_gpus(instances, hierarchy)
    collateral = MachineCollateral(cpu=machine.collateral(), devices=tuple(device.collateral(NOW) for device in devices))
    demanding = msgspec.structs.replace(wanted, nvidia=hierarchy.policy(min_gpus=2))
    appraisal, bound = judged(own(instances), machine, demanding, collateral=collateral)
    assert appraisal.accepted and bound is not None, appraisal.failure
    assert {"instance0.device0", "instance0.device1"} <= {check.target for check in appraisal.checks}
    assert "devices.bound" in [check.name for check in appraisal.checks]


def test_gpus_that_signed_something_else_are_refused(
    instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy, hierarchy: nvidia.Hierarchy
) -> None:
    [device] = with_gpus(instances, hierarchy, 1)
    collateral = MachineCollateral(cpu=machine.collateral(), devices=(device.collateral(NOW),))
    report = base64.b64encode(device.report(bytes.fromhex(NONCE))).decode()
    change = each("gpu_evidence", lambda gpus: [{**gpus[0], "evidence": report}])
    demanding = msgspec.structs.replace(wanted, nvidia=hierarchy.policy())
    assert failing(judged(own(instances, change), machine, demanding, collateral=collateral)[0]) == "device.nonce"


def test_gpus_that_are_demanded_and_not_there_are_missed(
    instances: list[FakeInstance], machine: SimulatedMachine, wanted: AttestationPolicy, hierarchy: nvidia.Hierarchy
) -> None:
    demanding = msgspec.structs.replace(wanted, nvidia=hierarchy.policy())
    assert failing(judged(own(instances), machine, demanding)[0]) == "devices.required"


def test_nvidias_word_stands_in_for_the_reports_of_one_instance(instances: list[FakeInstance], hierarchy: nvidia.Hierarchy) -> None:
    devices = with_gpus(instances, hierarchy, 1)
    first, second = instances
    documents: dict[str, Any] = {nras_role(second.instance_id): b"[token]"}
    evidence = own(instances, **documents)
    one, other = machines(evidence)
    assert len(one.devices) == len(devices)
    assert other.devices == (NrasEvidence(token=b"[token]"),)
    heard = candidates(read(evidence), evidence)
    assert [len(unheard(candidate)) for candidate in heard] == [1, 0]
    assert heard[0].instance.arch == "HOPPER" and first.devices == devices
