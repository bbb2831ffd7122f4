"""The simulated TDX machine whose evidence is damaged, and the moment at which all is judged."""

from functools import cache

from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


class StoppedClock:
    """`ports.Clock` at one moment."""

    def now(self) -> int:
        return NOW

    def now_ms(self) -> int:
        return NOW * 1000

    def monotonic(self) -> float:
        return float(NOW)


@cache
def machine() -> SimulatedMachine:
    """One machine, made when first asked for."""
    return SimulatedMachine(create_pki(NOW), StoppedClock())
