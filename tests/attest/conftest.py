"""One simulated machine and the policy that admits it; both are immutable in effect, so they are made once."""

import pytest

from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.values.policy import AttestationPolicy
from tests.sim.hardware import NOW, FrozenClock


@pytest.fixture(scope="session")
def machine() -> SimulatedMachine:
    return SimulatedMachine(create_pki(NOW), FrozenClock())


@pytest.fixture(scope="session")
def policy(machine: SimulatedMachine) -> AttestationPolicy:
    return reference.policy([machine])
