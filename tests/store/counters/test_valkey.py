"""Counters on a real server: several processes, restarts, and nothing that stays for ever. What they promise is in test_behaviour.py."""

import asyncio
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollm.errors import CountersAway
from ollm.ports import Granted, Reading, Unloaded
from ollm.store.counters.fallback import FallbackCounters, Rules
from ollm.store.counters.valkey import BegunAnew, Place, TooYoung, ValkeyCounters
from ollm.traffic.charges import Charges, Load, settled
from ollm.values.secret import Sealed
from ollm.values.terms import Limit
from tests.servers.counters import CounterServer, counter_server
from tests.store.counters.harness import NOTHING, NOW_MS, OnServer, asked, loaded, made, on_server, shared_counters, took

pytestmark = [pytest.mark.slow, pytest.mark.process]

ROOT = Path(__file__).parents[3]
ALL = Limit(parallel=5, requests_per_minute=5, tokens_per_day=500)


@pytest.fixture
def durable(socket_dir: Path) -> Iterator[CounterServer]:
    """A server that writes everything to disk before it answers."""
    with counter_server(socket_dir, durable=True) as running:
        yield running


@pytest.fixture
def forgetful(socket_dir: Path) -> Iterator[CounterServer]:
    """A server that keeps nothing on disk."""
    with counter_server(socket_dir) as running:
        yield running


# Several processes.


class Contenders:
    """Three processes that take what they can get from one server."""

    def __init__(self, url: str, what: str) -> None:
        environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
        command = [sys.executable, "-m", "tests.store.counters.contender", url]
        self.processes = [
            subprocess.Popen(
                [*command, f"worker{number}", what, "200"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
            )
            for number in range(3)
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def go(self) -> None:
        """All at once."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def granted(self) -> int:
        """How many requests were granted to all of them together."""
        counts = []
        for process in self.processes:
            with process:
                out, _ = process.communicate(timeout=100)
            assert process.returncode == 0
            counts.append(int(out))
        return sum(counts)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("what", "accepted"), [("requests", 300), ("tokens", 250)])
def test_three_processes_accept_the_limit_exactly(forgetful: CounterServer, what: str, accepted: int) -> None:
    contenders = Contenders(forgetful.url, what)
    contenders.go()
    assert contenders.granted() == accepted


@pytest.mark.timeout(180)
def test_three_processes_accept_the_limit_exactly_though_the_server_is_killed(durable: CounterServer) -> None:
    contenders = Contenders(durable.url, "requests")
    contenders.go()
    for pause in (0.65, 0.05, 0.05):  # the first half of a second a new store grants nothing
        time.sleep(pause)
        durable.kill()
        time.sleep(0.05)
        durable.start()
    assert contenders.granted() == 300


# Budgets on a server that forgets everything, again and again.


class Storm:
    """Two workers under one budget, the ledger of what their requests cost, and a clock on which no two things happen at once."""

    limit = 4000

    def __init__(self, server: CounterServer) -> None:
        self.ids = itertools.count()
        self.ticks = itertools.count(NOW_MS)
        self.entries: list[int] = []
        self.under_way: dict[str, int] = {}
        self.most = 0  # that was ever spent and reserved
        self.chance = random.Random(5)
        self.workers = [FallbackCounters(shared_counters(server, "t", lease_seconds=0.4), Rules(), time.monotonic, self.now_ms) for _ in range(2)]

    def now_ms(self) -> int:
        return next(self.ticks)

    async def ask(self, counters: FallbackCounters, charges: Charges, owner: str) -> str | None:
        """Ask until the store answers; the id under which it granted."""
        while True:
            request = asked(f"r{next(self.ids)}", charges, owner=owner)
            try:
                answer = await counters.reserve(request, self.now_ms())
                if isinstance(answer, Granted):
                    return request.request_id
                if not isinstance(answer, Unloaded):
                    return None
                spent = settled(answer.charges, Load(tokens=0, micro=sum(self.entries)))
                await counters.load(spent, self.now_ms())
            except CountersAway:
                await asyncio.sleep(0.02)

    async def request(self, number: int) -> None:
        """One request that may cost 20, and costs less."""
        counters = self.workers[number % 2]
        charges = made(budget=self.limit, micro=20)
        request_id = await self.ask(counters, charges, f"w{number % 2}")
        if request_id is None:
            return
        self.under_way[request_id] = 20
        self.most = max(self.most, sum(self.entries) + sum(self.under_way.values()))
        await asyncio.sleep(self.chance.uniform(0, 0.05))
        cost = self.chance.randint(0, 20)
        ended = self.now_ms()
        self.entries.append(cost)
        del self.under_way[request_id]
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        await counters.settle(request_id, took(charges, micro=cost), ended)

    async def beat(self) -> None:
        """Both workers renew, for as long as nobody stops them."""
        while True:
            for number, counters in enumerate(self.workers):
                await counters.renew(f"w{number}")
            await asyncio.sleep(0.1)

    async def calm(self) -> None:
        """Nothing is owed any more."""
        async with asyncio.timeout(20):
            for counters in self.workers:
                while counters.owed or counters.away:  # noqa: ASYNC110  # what another task does shows in two numbers only
                    await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_no_budget_is_overdrawn_and_the_ledger_agrees_though_the_server_forgets(forgetful: CounterServer) -> None:
    storm = Storm(forgetful)
    beating = asyncio.get_running_loop().create_task(storm.beat())
    for first in range(0, 600, 100):
        requests = asyncio.gather(*[storm.request(number) for number in range(first, first + 100)])
        await asyncio.sleep(0.05)
        if first in (100, 300):
            forgetful.kill()
            forgetful.start()
        await requests
    await storm.calm()
    beating.cancel()
    charges = made(budget=storm.limit, micro=0)
    assert await storm.ask(storm.workers[0], charges, "w0")  # which loads the budget where nobody has
    assert storm.most <= storm.limit
    assert sum(storm.entries) > storm.limit * 0.9  # it was used up, but for what was reserved and not taken
    assert await storm.workers[0].read([charges.meters.names[0]]) == [Reading(sum(storm.entries), 0)]
    for counters in storm.workers:
        await counters.close()


# Keys.


async def keys_of(harness: OnServer) -> dict[str, int]:
    """Each key of the namespace, without its prefix, and its time to live in ms; -1: for ever."""
    names = [name.decode() async for name in harness.redis.scan_iter(match=f"{{{harness.prefix}}}:*")]
    return {name.split(":", 1)[1]: await harness.redis.pttl(name) for name in names}


async def test_nothing_stays_for_ever_and_all_keys_share_a_slot(server: CounterServer) -> None:
    harness = await on_server(server)
    charges = made(limit=ALL, budget=100)
    await harness.counters.load(loaded(charges), NOW_MS)
    await harness.counters.reserve(asked("r1", charges), NOW_MS)
    await harness.counters.reserve(asked("r2", made(limit=Limit(tokens_per_minute=1), tokens=2)), NOW_MS)
    await harness.counters.settle("r3", took(charges), NOW_MS)
    keys = await keys_of(harness)
    assert {name for name, ttl in keys.items() if ttl < 0} == {"epoch", "owners"}
    assert {name.partition(":")[0] for name in keys} == {"epoch", "owners", "c", "q", "o", "l"}
    assert keys[f"c:{charges.meters.names[1]}"] <= 100_000  # forty seconds of the minute are left, and one minute more
    assert not any("r2" in name or "tokens_per_minute" in name for name in keys)
    await harness.close()


async def test_a_server_that_forgot_the_scripts_is_sent_them_again(server: CounterServer) -> None:
    harness = await on_server(server)
    await harness.counters.reserve(asked("r1", made(limit=ALL)), NOW_MS)
    await harness.redis.script_flush()
    assert await harness.counters.reserve(asked("r2", made(limit=ALL)), NOW_MS) == Granted((2, 2, 20))
    await harness.close()


async def test_values_that_are_no_numbers_grant_nothing(server: CounterServer) -> None:
    harness = await on_server(server)
    charges = made(limit=Limit(requests_per_day=5))
    await harness.redis.hset(harness.key(f"c:{charges.meters.names[0]}"), "v", "much")
    with pytest.raises(CountersAway):
        await harness.counters.reserve(asked("r1", charges), NOW_MS)
    await harness.redis.hset(harness.key(f"c:{charges.meters.names[0]}"), "v", "-5")
    assert not isinstance(await harness.counters.reserve(asked("r1", charges), NOW_MS), Granted)
    await harness.close()


async def test_reservations_that_somebody_else_wrote_are_left_alone(server: CounterServer) -> None:
    harness = await on_server(server)
    await harness.redis.hset(harness.key("q:r1"), mapping={"s": "h", "o": "w", "n": "", "c:nonsense": "1"})
    await harness.redis.sadd(harness.key("o:w"), "r1")
    await harness.redis.sadd(harness.key("owners"), "w")
    assert await harness.counters.orphans() == []
    await harness.close()


# Epochs.


async def test_a_new_store_is_noticed_and_grants_nothing_before_all_had_time_to_speak(server: CounterServer) -> None:
    counters = shared_counters(server, "young", lease_seconds=1.0)
    with pytest.raises(BegunAnew):
        await counters.reserve(asked("r1", made(limit=ALL)), NOW_MS)
    with pytest.raises(BegunAnew):
        await counters.renew("w")
    await counters.enter()
    with pytest.raises(TooYoung) as caught:
        await counters.reserve(asked("r1", made(limit=ALL)), NOW_MS)
    assert 0 < caught.value.seconds <= 0.5
    await asyncio.sleep(caught.value.seconds + 0.01)
    assert isinstance(await counters.reserve(asked("r1", made(limit=ALL)), NOW_MS), Granted)
    await counters.close()


async def test_a_reservation_that_ended_long_ago_in_this_epoch_is_not_charged_again(server: CounterServer) -> None:
    harness = await on_server(server)
    charges = made(limit=ALL)
    await harness.counters.reserve(asked("r1", charges), NOW_MS)
    await harness.counters.settle("r1", took(charges, tokens=3), NOW_MS)
    await harness.redis.delete(harness.key("q:r1"))  # its time is over
    await harness.shared.settle("r1", took(charges, tokens=3), NOW_MS, epoch=harness.shared.epoch)
    assert await harness.counters.read([charges.meters.names[2]]) == [Reading(3, 0)]
    await harness.close()


async def test_adopting_holds_whatever_the_limit_once(server: CounterServer) -> None:
    harness = await on_server(server)
    charges = made(limit=Limit(parallel=1))
    for request_id in ("r1", "r2", "r2"):
        await harness.shared.adopt(asked(request_id, charges), NOW_MS)
    assert await harness.counters.read([charges.meters.names[0]]) == [Reading(2, 2)]
    await harness.counters.settle("r2", took(charges), NOW_MS)
    await harness.shared.adopt(asked("r2", charges), NOW_MS)
    assert await harness.counters.read([charges.meters.names[0]]) == [Reading(1, 1)]
    await harness.close()


# Access.


async def test_a_password_is_used_and_never_shown(socket_dir: Path) -> None:
    with counter_server(socket_dir, password="secret-word") as running:
        right = ValkeyCounters(Place(url=running.url, password=Sealed(b"secret-word")), os.urandom)
        assert await right.enter()
        await right.close()
        for place in (Place(url=running.url), Place(url=running.url, password=Sealed(b"wrong"))):
            wrong = ValkeyCounters(place, os.urandom)
            with pytest.raises(CountersAway) as caught:
                await wrong.enter()
            assert "wrong" not in f"{caught.value} {place!r}"
            await wrong.close()


async def test_a_note_is_short(server: CounterServer) -> None:
    counters = shared_counters(server, "note")
    with pytest.raises(ValueError, match="512"):
        await counters.reserve(asked("r1", NOTHING, note=b"x" * 513), NOW_MS)
    await counters.close()
