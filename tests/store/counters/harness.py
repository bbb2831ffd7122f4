"""Counters of each kind behind one door, with a clock that the tests move and owners that they let die."""

import asyncio
import itertools
import os
import time
from typing import Protocol

import redis.asyncio

from ollm.ports import Asked, Counters
from ollm.store.counters.fallback import FallbackCounters, Rules
from ollm.store.counters.memory import MemoryCounters
from ollm.store.counters.valkey import Place, ValkeyCounters
from ollm.traffic.charges import Charges, Load, settled
from ollm.values.terms import Budget, Limit, Terms
from tests.charging import charges
from tests.servers.counters import CounterServer

NOW = 1_795_478_720  # twenty seconds into a minute of a Tuesday
NOW_MS = NOW * 1000
LEASE = 15.0


class Harness(Protocol):
    """One store, and counters on it."""

    @property
    def counters(self) -> Counters: ...

    def another(self) -> Counters:
        """Those of another worker on the same store."""

    async def lapse(self, owner: str) -> None:
        """The lease of `owner` ends."""

    async def close(self) -> None: ...


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

    def another(self) -> Counters:
        return self.memory

    async def lapse(self, owner: str) -> None:
        self.memory._alive[owner] = self.seconds.now

    async def close(self) -> None:
        await asyncio.sleep(0)


def made(scope: str = "k", *, limit: Limit | None = None, budget: int | None = None, tokens: int = 10, micro: int = 5, now: int = NOW) -> Charges:
    """The charges of one request under one limit and one monthly budget of `scope`."""
    terms = Terms(limits=() if limit is None else (limit,), budgets=() if budget is None else (Budget(limit_micro=budget),))
    return charges([(scope, terms)], "acme/large", Load(tokens=tokens, micro=micro), now)


NOTHING = charges([], "acme/large", Load(tokens=0, micro=0), NOW)


def asked(request_id: str, charges: Charges, *, owner: str = "worker1", note: bytes = b"") -> Asked:
    return Asked(request_id, owner, charges, note)


def took(charges: Charges, *, tokens: int = 0, micro: int = 0, requests: int = 1) -> Charges:
    return settled(charges, Load(tokens=tokens, micro=micro, requests=requests))


def loaded(charges: Charges, spent: int = 0) -> Charges:
    """What a ledger with `spent` in each window says of the money in `charges`."""
    return settled(charges.some(charges.meters.money), Load(tokens=0, micro=spent))


class OnServer:
    """Counters on a real server, in a namespace of their own; bare, or behind the rules for a store that is away."""

    def __init__(self, server: CounterServer, *, rules: Rules | None) -> None:
        self.server = server
        self.rules = rules
        self.others: list[ValkeyCounters | FallbackCounters] = []
        self.prefix = f"t{next(_PREFIXES)}"
        self.redis = redis.asyncio.Redis.from_url(server.url)
        self.shared = shared_counters(server, self.prefix)
        self.fallback = None if rules is None else FallbackCounters(self.shared, rules, time.monotonic, lambda: NOW_MS)

    @property
    def counters(self) -> Counters:
        return self.fallback or self.shared

    async def enter(self) -> None:
        """The store is old enough to grant."""
        epoch = await self.shared.enter()
        name, _, began = epoch.partition("-")
        await self.redis.set(self.key("epoch"), f"{name}-{int(began) - 60_000}")
        await self.shared.enter()

    def key(self, name: str) -> str:
        return f"{{{self.prefix}}}:{name}"

    def another(self) -> Counters:
        shared = shared_counters(self.server, self.prefix)
        found = shared if self.rules is None else FallbackCounters(shared, self.rules, time.monotonic, lambda: NOW_MS)
        self.others.append(found)
        shared.epoch = self.shared.epoch
        return found

    async def lapse(self, owner: str) -> None:
        await self.redis.delete(self.key(f"l:{owner}"))

    async def close(self) -> None:
        await self.redis.aclose()
        for counters in (*self.others, self.fallback or self.shared):
            await counters.close()


_PREFIXES = itertools.count()


def shared_counters(server: CounterServer, prefix: str, *, lease_seconds: float = LEASE, timeout: float = 5.0) -> ValkeyCounters:
    """`timeout` is long: the machine of the tests may be busy."""
    return ValkeyCounters(Place(url=server.url, prefix=prefix, timeout=timeout), os.urandom, lease_seconds=lease_seconds)


async def on_server(server: CounterServer, *, rules: Rules | None = None) -> OnServer:
    found = OnServer(server, rules=rules)
    await found.enter()
    return found
