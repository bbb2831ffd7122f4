"""A counter store that is away, comes back, or has lost its memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ollm.errors import CountersAway
from ollm.ports import Granted, Reading, Refused, Unloaded
from ollm.store.counters.fallback import FallbackCounters, Rules
from ollm.values.terms import Limit
from tests.servers.counters import CounterServer, counter_server
from tests.store.counters.harness import NOTHING, NOW_MS, Seconds, asked, loaded, made, shared_counters, took

pytestmark = [pytest.mark.slow, pytest.mark.process]

LEASE = 0.6  # seconds; a store that began anew grants nothing for half of it
TEN = Limit(requests_per_day=10)
LOCAL = Rules(when_away="local", local_share_permille=300)


@pytest.fixture
def server(socket_dir: Path) -> Iterator[CounterServer]:
    """A server that the test may kill."""
    with counter_server(socket_dir) as running:
        yield running


class Worker:
    """A worker's counters with a clock of its own for pauses."""

    def __init__(self, server: CounterServer, rules: Rules, *, timeout: float = 5.0) -> None:
        self.seconds = Seconds()
        self.shared = shared_counters(server, "t", lease_seconds=LEASE, timeout=timeout)
        self.counters = FallbackCounters(self.shared, rules, self.seconds, lambda: NOW_MS)

    async def settled_in(self) -> FallbackCounters:
        """The counters, once the store is old enough to grant."""
        await self.counters.renew("w")
        await asyncio.sleep(LEASE / 2 + 0.01)
        return self.counters


@pytest.fixture
async def refusing(server: CounterServer) -> AsyncIterator[Worker]:
    worker = Worker(server, Rules())
    yield worker
    await worker.counters.close()


@pytest.fixture
async def local(server: CounterServer) -> AsyncIterator[Worker]:
    worker = Worker(server, LOCAL)
    yield worker
    await worker.counters.close()


async def test_while_the_store_is_away_nothing_is_granted_and_nobody_waits_for_it(server: CounterServer, refusing: Worker) -> None:
    counters = await refusing.settled_in()
    assert await counters.reserve(asked("r1", made(limit=TEN)), NOW_MS) == Granted((1,))
    server.kill()
    for number in range(3):
        with pytest.raises(CountersAway):
            await counters.reserve(asked(f"r2-{number}", made(limit=TEN)), NOW_MS)
    assert counters.away
    with pytest.raises(CountersAway):
        await counters.read(["requests|k|*|day|0"])
    assert await counters.orphans() == []
    server.start()
    with pytest.raises(CountersAway):  # the pause isn't over
        await counters.reserve(asked("r3", made(limit=TEN)), NOW_MS)
    refusing.seconds.now += 5
    await counters.renew("w")
    assert not counters.away


async def test_a_store_that_hangs_is_given_up_in_time(server: CounterServer) -> None:
    worker = Worker(server, Rules(), timeout=0.2)
    counters = await worker.settled_in()
    charges = made(limit=TEN)
    assert await counters.reserve(asked("r1", charges), NOW_MS) == Granted((1,))
    server.pause()
    try:
        async with asyncio.timeout(3):
            with pytest.raises(CountersAway):
                await counters.reserve(asked("r2", charges), NOW_MS)
            await counters.settle("r1", took(charges), NOW_MS)
    finally:
        server.go_on()
    assert counters.owed == 2  # r1 ended; r2 may have been granted there, so it is taken back
    await asyncio.sleep(0.3)
    worker.seconds.now += 5
    await counters.renew("w")
    assert counters.owed == 0
    assert await counters.read([charges.meters.names[0]]) == [Reading(1, 0)]
    await counters.close()


async def test_a_share_of_each_limit_is_given_out_locally_and_told_to_the_store_later(server: CounterServer, local: Worker) -> None:
    counters = await local.settled_in()
    charges = made(limit=TEN)
    assert await counters.reserve(asked("r1", charges), NOW_MS) == Granted((1,))
    server.pause()
    local.shared._timeout = 0.2
    try:
        answers = [await counters.reserve(asked(f"r2-{number}", charges), NOW_MS) for number in range(4)]
        assert answers == [Granted((8,)), Granted((9,)), Granted((10,)), Refused(0, (10,))]  # three of ten; the rest is as good as used
        await counters.settle("r2-0", took(charges), NOW_MS)
        await counters.release("r2-1")
    finally:
        server.go_on()
    local.shared._timeout = 5.0
    await asyncio.sleep(0.1)
    local.seconds.now += 5
    await counters.renew("w")
    assert await counters.read([charges.meters.names[0]]) == [Reading(3, 2)]  # r1 and r2-2 are under way, r2-0 is spent
    await counters.settle("r2-2", took(charges), NOW_MS)
    await counters.settle("r1", took(charges), NOW_MS)
    assert await counters.read([charges.meters.names[0]]) == [Reading(3, 0)]
    assert await counters.reserve(asked("r3", charges), NOW_MS) == Granted((4,))


async def test_money_can_be_given_out_locally_without_a_ledger(server: CounterServer, local: Worker) -> None:
    charges = made(budget=100, micro=10)
    server.kill()
    assert [type(await counters_of(local).reserve(asked(f"r{number}", charges), NOW_MS)) for number in range(4)] == [*[Granted] * 3, Refused]
    server.start()


def counters_of(worker: Worker) -> FallbackCounters:
    return worker.counters


async def test_a_store_that_lost_its_memory_is_told_what_is_held_and_loaded_before_it_grants(server: CounterServer, refusing: Worker) -> None:
    counters = await refusing.settled_in()
    charges = made(limit=Limit(parallel=5), budget=100, micro=30)
    await counters.load(loaded(charges, spent=20), NOW_MS)
    assert isinstance(await counters.reserve(asked("r1", charges), NOW_MS), Granted)
    assert isinstance(await counters.reserve(asked("r2", charges), NOW_MS), Granted)
    await counters.settle("r1", took(charges, micro=10), NOW_MS + 1)  # the ledger has 30 now
    server.kill()
    server.start()
    await counters.settle("r0", NOTHING, NOW_MS)  # over a connection that broke: noticed
    refusing.seconds.now += 5
    with pytest.raises(CountersAway):  # other workers may still hold something
        await counters.reserve(asked("r3", charges), NOW_MS + 2)
    assert await counters.read(charges.meters.names) == [Reading(1, 1), Reading(30, 30)]
    await asyncio.sleep(LEASE / 2 + 0.01)
    assert await counters.reserve(asked("r3", charges), NOW_MS + 2) == Unloaded(charges.some([1]))
    await counters.load(loaded(charges, spent=30), NOW_MS + 2)
    assert await counters.reserve(asked("r3", charges), NOW_MS + 2) == Granted((2, 90))
    assert await counters.reserve(asked("r4", charges), NOW_MS + 2) == Refused(1, (2, 90))
    await counters.settle("r2", took(charges, micro=30), NOW_MS + 3)
    await counters.settle("r3", took(charges, micro=5), NOW_MS + 3)
    assert await counters.read(charges.meters.names) == [Reading(0, 0), Reading(65, 0)]


async def test_what_ended_before_the_load_is_not_counted_again(server: CounterServer, refusing: Worker) -> None:
    counters = await refusing.settled_in()
    charges = made(budget=100, micro=30)
    await counters.load(loaded(charges), NOW_MS)
    await counters.reserve(asked("r1", charges), NOW_MS)
    server.kill()
    server.start()
    await counters.renew("w")
    refusing.seconds.now += 5
    await counters.renew("w")
    await counters.load(loaded(charges, spent=12), NOW_MS + 2)  # r1 cost 12, and its entry is in the ledger
    await counters.settle("r1", took(charges, micro=12), NOW_MS + 1)
    assert await counters.read([charges.meters.names[0]]) == [Reading(12, 0)]


async def test_while_the_store_is_too_young_a_share_is_given_out_and_held_there_at_once(local: Worker) -> None:
    charges = made(limit=TEN)
    assert await local.counters.reserve(asked("r1", charges), NOW_MS) == Granted((8,))
    assert await local.counters.read([charges.meters.names[0]]) == [Reading(1, 1)]
    await local.counters.settle("r1", took(charges), NOW_MS)
    assert await local.counters.read([charges.meters.names[0]]) == [Reading(1, 0)]


async def test_a_request_that_is_given_up_while_it_asks_holds_nothing(server: CounterServer, refusing: Worker) -> None:
    counters = await refusing.settled_in()
    charges = made(limit=TEN)
    server.pause()
    try:
        asking = asyncio.get_running_loop().create_task(counters.reserve(asked("r1", charges), NOW_MS))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    finally:
        server.go_on()
    await asyncio.sleep(0.05)
    await counters.renew("w")
    assert counters.owed == 0
    assert await counters.read([charges.meters.names[0]]) == [Reading(0, 0)]


async def test_many_at_once_wait_for_the_first_contact_and_none_is_refused(refusing: Worker) -> None:
    await refusing.shared.enter()
    await asyncio.sleep(LEASE / 2 + 0.01)
    answers = await asyncio.gather(*[refusing.counters.reserve(asked(f"r{number}", made(limit=TEN)), NOW_MS) for number in range(20)])
    assert sum(isinstance(answer, Granted) for answer in answers) == 10


async def test_more_than_can_be_owed_is_not_granted(server: CounterServer, local: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollm.store.counters.fallback._MAX_OWED", 1)
    server.kill()
    charges = made(limit=TEN)
    assert isinstance(await local.counters.reserve(asked("r1", charges), NOW_MS), Granted)
    await local.counters.settle("r1", took(charges), NOW_MS)
    with pytest.raises(CountersAway):
        await local.counters.reserve(asked("r2", charges), NOW_MS)


async def test_a_doubtful_reserve_is_taken_back_though_no_more_can_be_owed(
    server: CounterServer, local: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = await local.settled_in()
    charges = made(limit=TEN)
    monkeypatch.setattr("ollm.store.counters.fallback._MAX_OWED", 0)
    local.shared._timeout = 0.2
    server.pause()
    try:
        with pytest.raises(CountersAway):
            await counters.reserve(asked("r1", charges), NOW_MS)
    finally:
        server.go_on()
    assert counters.owed == 1
    local.shared._timeout = 5.0
    await asyncio.sleep(0.1)
    local.seconds.now += 5
    await counters.renew("w")
    assert counters.owed == 0
    assert await counters.read([charges.meters.names[0]]) == [Reading(0, 0)]
