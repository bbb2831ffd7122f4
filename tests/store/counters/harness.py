"""Counters of each kind behind one door, with a clock that the tests move and owners that they let die."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ollm.ports import Asked, Counters
from ollm.store.counters.memory import MemoryCounters
from ollm.traffic.charges import Charge, Load, charges, settled
from ollm.values.terms import Budget, Limit, Terms

NOW = 1_795_478_720  # twenty seconds into a minute of a Tuesday
NOW_MS = NOW * 1000
LEASE = 15.0


class Harness(Protocol):
    """One store, and counters on it."""

    @property
    def counters(self) -> Counters: ...

    async def lapse(self, owner: str) -> None:
        """The lease of `owner` ends."""

    async def close(self) -> None: ...


Maker = Callable[[], Awaitable[Harness]]


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class InMemory:
    def __init__(self) -> None:
        self.seconds = Seconds()
        self.memory = MemoryCounters(self.seconds, lease_seconds=LEASE)

    @property
    def counters(self) -> Counters:
        return self.memory

    async def lapse(self, owner: str) -> None:
        self.memory._alive[owner] = self.seconds.now

    async def close(self) -> None:
        await asyncio.sleep(0)


async def in_memory() -> Harness:
    return InMemory()


def made(
    scope: str = "k", *, limit: Limit | None = None, budget: int | None = None, tokens: int = 10, micro: int = 5, now: int = NOW
) -> tuple[Charge, ...]:
    """The charges of one request under one limit and one monthly budget of `scope`."""
    terms = Terms(limits=() if limit is None else (limit,), budgets=() if budget is None else (Budget(limit_micro=budget),))
    return charges([(scope, terms)], "acme/large", Load(tokens=tokens, micro=micro), now)


def asked(request_id: str, charges: Sequence[Charge], *, owner: str = "worker1", note: bytes = b"") -> Asked:
    return Asked(request_id, owner, tuple(charges), note)


def took(charges: Sequence[Charge], *, tokens: int = 0, micro: int = 0, requests: int = 1) -> tuple[Charge, ...]:
    return settled(charges, Load(tokens=tokens, micro=micro, requests=requests))


def loaded(charges: Sequence[Charge], spent: int = 0) -> list[Charge]:
    """What a ledger with `spent` in each window says of the money in `charges`."""
    return [settled([charge], Load(tokens=0, micro=spent))[0] for charge in charges if charge.what == "money"]
