"""One installation of simulated hardware, frozen in time."""

import pytest

from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import SimulatedPki, create_pki
from tests.sim.hardware import NOW, FrozenClock


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(scope="session")
def pki() -> SimulatedPki:
    return create_pki(NOW)


@pytest.fixture
def machine(pki: SimulatedPki, clock: FrozenClock) -> SimulatedMachine:
    return SimulatedMachine(pki, clock)
