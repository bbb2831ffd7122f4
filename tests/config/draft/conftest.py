"""One simulated machine, frozen in time."""

import pytest

from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import SimulatedPki, create_pki
from tests.sim.hardware import NOW, FrozenClock


@pytest.fixture(scope="session")
def _pki() -> SimulatedPki:
    return create_pki(NOW)


@pytest.fixture
def machine(_pki: SimulatedPki) -> SimulatedMachine:
    return SimulatedMachine(_pki, FrozenClock())
