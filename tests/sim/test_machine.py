"""Machines: an identity that lasts, a state that follows from build and application."""

import hashlib

import msgspec
import pytest

from ollm.sim.machine import SimulatedMachine, default_app_compose
from ollm.sim.pki import SimulatedPki
from tests.sim.hardware import REPORT_DATA, FrozenClock, library_verdict


def test_machines_of_one_build_measure_alike_and_are_told_apart(pki: SimulatedPki, clock: FrozenClock) -> None:
    one, other = SimulatedMachine(pki, clock, name="one"), SimulatedMachine(pki, clock, name="other")
    assert msgspec.structs.replace(one.td_report, rtmr3=b"") == msgspec.structs.replace(other.td_report, rtmr3=b"")
    assert one.td_report.rtmr3 != other.td_report.rtmr3  # holds the instance id
    assert one.platform.ppid != other.platform.ppid


def test_a_machine_keeps_its_platform_and_state_across_restarts(pki: SimulatedPki, clock: FrozenClock) -> None:
    before, after = SimulatedMachine(pki, clock), SimulatedMachine(pki, clock)
    assert (before.platform, before.td_report, before.event_log_json) == (after.platform, after.td_report, after.event_log_json)
    assert before.pck.public_key() != after.pck.public_key()


def test_the_application_decides_compose_hash_and_identity(pki: SimulatedPki, clock: FrozenClock) -> None:
    machine = SimulatedMachine(pki, clock, app_compose='{"manifest_version":2,"name":"mine"}')
    assert machine.compose_hash == hashlib.sha256(b'{"manifest_version":2,"name":"mine"}').digest()
    assert machine.td_report.mr_config_id == b"\x01" + machine.compose_hash + bytes(15)
    assert machine.app_id == machine.compose_hash[:20]


def test_the_default_compose_file_runs_one_image_by_digest() -> None:
    compose = msgspec.json.decode(default_app_compose("demo"))
    assert (compose["name"], compose["runner"], compose["allowed_envs"]) == ("demo", "docker-compose", [])
    assert "@sha256:" in compose["docker_compose_file"]


def test_info_agrees_with_the_quote(machine: SimulatedMachine) -> None:
    info = machine.info()
    tcb = msgspec.json.decode(info["tcb_info"])
    assert [tcb[name] for name in ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3")] == [
        getattr(machine.td_report, name).hex() for name in ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
    ]
    assert tcb["event_log"] == msgspec.json.decode(machine.event_log_json)
    assert tcb["app_compose"] == machine.app_compose
    assert info["compose_hash"] == tcb["compose_hash"] == machine.compose_hash.hex()


def test_the_vm_config_is_a_json_object_that_claims_no_gpu(machine: SimulatedMachine) -> None:
    config = msgspec.json.decode(machine.vm_config)
    assert config["image"] == machine.build
    assert config["num_gpus"] == 0


def test_years_later_the_machine_is_still_up_to_date_because_collateral_is_signed_afresh(machine: SimulatedMachine, clock: FrozenClock) -> None:
    clock.seconds += 5 * 365 * 86_400
    assert library_verdict(machine, machine.pki.root_der, clock.now()) == "UpToDate"


def test_report_data_of_another_length_is_refused(machine: SimulatedMachine) -> None:
    with pytest.raises(ValueError, match="report_data"):
        machine.quote(REPORT_DATA[:32])
