"""The policy fragment admits this installation's machines and nothing else."""

import pytest

from ollm.config.load import parse
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import SimulatedPki, create_pki
from ollm.sim.reference import policy, policy_toml, reference_values
from ollm.values.level import Level
from tests.sim.hardware import NOW, FrozenClock


def test_the_policy_pins_root_build_and_application(machine: SimulatedMachine) -> None:
    accepted = policy([machine])
    assert accepted.level is Level.SIMULATED
    assert accepted.tdx.simulated_root_sha256 == machine.pki.root_sha256
    (values,) = accepted.tdx.reference_values
    assert (values.mrtd, values.rtmr0) == (machine.td_report.mrtd.hex(), machine.td_report.rtmr0.hex())
    assert values.compose_hashes == (machine.compose_hash.hex(),)
    assert accepted.require_event_log and accepted.require_compose


@pytest.mark.parametrize("name", ["simulated", "team-a.demo:1", "org/app@2"])
def test_the_fragment_is_the_policy(machine: SimulatedMachine, name: str) -> None:
    accepted = policy([machine], name=name)
    assert parse(policy_toml(accepted).encode()).policies == {name: accepted}


def test_machines_of_one_build_and_application_need_one_entry(pki: SimulatedPki, clock: FrozenClock) -> None:
    machines = [SimulatedMachine(pki, clock, name=name) for name in ("one", "two")]
    machines.append(SimulatedMachine(pki, clock, app_name="other"))
    accepted = policy(machines)
    assert accepted.tdx.reference_values == (reference_values(machines[0]), reference_values(machines[2]))
    assert parse(policy_toml(accepted).encode()).policies["simulated"] == accepted


def test_machines_of_two_installations_need_two_policies(machine: SimulatedMachine, clock: FrozenClock) -> None:
    foreign = SimulatedMachine(create_pki(NOW), clock)
    with pytest.raises(ValueError, match="exactly one root"):
        policy([machine, foreign])
    with pytest.raises(ValueError, match="exactly one root"):
        policy([])
