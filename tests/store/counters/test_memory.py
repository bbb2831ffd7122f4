"""Counters in this process: memory stays bounded, and a call costs microseconds. What they promise is in test_behaviour.py."""

import asyncio
import time
from collections.abc import Callable

import pytest

from ollm.ports import Granted, Reading
from ollm.store.counters.memory import ENDED_SECONDS, MemoryCounters
from ollm.traffic.charges import Load
from ollm.values.terms import Budget, Limit, Terms
from tests.charging import charges
from tests.store.counters.harness import NOW, NOW_MS, Seconds, asked, loaded, made, took


async def test_windows_that_ended_and_requests_that_were_settled_are_forgotten() -> None:
    seconds = Seconds()
    counters = MemoryCounters(seconds)
    limit = Limit(requests_per_minute=5, parallel=5)
    for minute in range(50):
        charges = made(limit=limit, now=NOW + 60 * minute)
        await counters.reserve(asked(f"r{minute}", charges), (NOW + 60 * minute) * 1000)
        await counters.settle(f"r{minute}", took(charges), (NOW + 60 * minute) * 1000)
        seconds.now += 60
    known, held, ended = counters.sizes()
    assert known <= 4
    assert held == 0
    assert ended <= ENDED_SECONDS / 60 + 1
    seconds.now += 2 * 86_400
    await counters.renew("worker1")
    assert counters.sizes() == (0, 0, 0)


async def test_a_counter_that_something_is_reserved_on_is_kept() -> None:
    seconds = Seconds()
    counters = MemoryCounters(seconds)
    charges = made(limit=Limit(tokens_per_minute=100))
    await counters.reserve(asked("r1", charges), NOW_MS)
    seconds.now += 3600
    await counters.renew("worker1")
    assert counters.sizes()[0] == 1
    await counters.settle("r1", took(charges, tokens=4), NOW_MS + 3_600_000)
    assert (await counters.read([charges.meters.names[0]]))[0].value == 4
    seconds.now += 61
    await counters.renew("worker1")
    assert counters.sizes()[0] == 0


async def test_leases_run_on_the_clock_that_does_not_jump() -> None:
    seconds = Seconds()
    counters = MemoryCounters(seconds, lease_seconds=10)
    await counters.reserve(asked("r1", made(limit=Limit(parallel=1))), NOW_MS + 10**9)
    seconds.now += 9.9
    assert await counters.orphans() == []
    seconds.now += 0.1
    assert [orphan.request_id for orphan in await counters.orphans()] == ["r1"]


async def test_without_a_ledger_behind_it_money_needs_no_load() -> None:
    counters = MemoryCounters(Seconds(), needs_load=False)
    assert await counters.reserve(asked("r1", made(budget=5)), NOW_MS) == Granted((5,))


async def test_held_shows_what_is_reserved() -> None:
    counters = MemoryCounters(Seconds())
    request = asked("r1", made(limit=Limit(parallel=1)))
    await counters.reserve(request, NOW_MS)
    assert counters.held("r1") is request
    await counters.release("r1")
    assert counters.held("r1") is None


async def test_a_request_is_settled_on_the_counters_that_it_was_reserved_on() -> None:
    counters = MemoryCounters(Seconds())
    charges, later = (made(limit=Limit(tokens_per_minute=100), now=moment) for moment in (NOW, NOW + 60))
    await counters.reserve(asked("r1", charges), NOW_MS)
    with pytest.raises(ValueError, match="counters"):
        await counters.settle("r1", took(later, tokens=4), NOW_MS)
    assert await counters.read([charges.meters.names[0], later.meters.names[0]]) == [Reading(10, 10), Reading(0, 0)]
    await counters.settle("r1", took(charges, tokens=4), NOW_MS)
    assert await counters.read(charges.meters.names) == [Reading(4, 0)]


def test_a_reserve_and_its_settling_cost_microseconds(record_property: Callable[[str, object], None]) -> None:
    """The fastest of ten runs, in the report of the tests; the bound is far above it, for slow machines."""
    terms = Terms(limits=(Limit(parallel=1000, requests_per_minute=10**9, tokens_per_minute=10**12),), budgets=(Budget(limit_micro=10**15),))
    four = charges([("k", terms)], "m", Load(tokens=10, micro=5), NOW)
    actual = took(four, tokens=3, micro=2)
    counters = MemoryCounters(Seconds())

    async def run(first: int) -> float:
        requests = [asked(f"req_{number}", four) for number in range(first, first + 500)]
        began = time.perf_counter()
        for request in requests:
            await counters.reserve(request, NOW_MS)
            await counters.settle(request.request_id, actual, NOW_MS)
        return (time.perf_counter() - began) / len(requests) * 1e6

    async def runs() -> float:
        await counters.load(loaded(four), NOW_MS)
        return min([await run(500 * number) for number in range(10)])

    each = asyncio.run(runs())
    record_property("reserve and settle of 4 charges, µs", each)
    assert each < 200, each
