"""Budgets under load and faults: what was admitted never costs more than there is, and ledger, counters and provider agree when all is quiet.

Gateways are processes of their own; two of them that share a database and counters are what several workers are.
"""

import asyncio
import json
import math
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.app.build import store_of
from ollm.config.load import load
from ollm.testing.providers.zdr import ZdrServer
from ollm.values.ledger import Entry, Status
from ollm.values.level import Level
from ollm.values.terms import Budget, Limit, Terms
from tests.servers.counters import CounterServer, counter_program
from tests.servers.postgres import Postgres, own_postgres
from tests.stage import new_key
from tests.system.processes import COMMAND, Process, clean_environment, free_ports, until

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]
__all__ = ["own_postgres"]  # a fixture

INPUT, OUTPUT = 150_000, 600_000  # micro-units per million tokens
MAX_TOKENS = 20
LEASE = 2.0
REQUESTS = 1000

_CONFIG = """\
[gateway]
listen = "127.0.0.1:{port}"
data_dir = "{state}"
floor = "zdr"
durability = "process"
drain_seconds = 5.0

[store]
{store}

[counters]
{counters}
lease_seconds = {lease}

[upstreams.open]
adapter = "openai-compatible"
url = "{provider}"
ca = '''
{ca}'''
max_connections = 512

[models.chat]
upstreams = ["open"]
price = {{ input = {input}, output = {output} }}
"""


class Fleet:
    """Gateways of one installation, each a process, in front of one provider that counts what it is asked."""

    def __init__(self, folder: Path, provider: ZdrServer, *, count: int, store: str, counters: str) -> None:
        self._folder = folder
        self.provider = provider
        self._environment = clean_environment(folder / "home")
        self.ports = free_ports(count)
        (folder / "logs").mkdir(parents=True)
        (folder / "secrets").mkdir(mode=0o700)
        for name in ("pepper", "row-key", "receipt-key"):
            path = folder / "secrets" / name
            path.write_text(random.Random(name).randbytes(32).hex())
            path.chmod(0o600)
        self.configs = []
        for number, port in enumerate(self.ports):
            config = folder / f"gateway-{number}.toml"
            text = _CONFIG.format(
                port=port,
                state=f"state-{number}" if count > 1 else "state",
                store=store,
                counters=counters,
                lease=LEASE,
                provider=provider.url,
                ca=provider.ca,
                input=INPUT,
                output=OUTPUT,
            )
            config.write_text(text)
            self.configs.append(config)
        self.processes: list[Process] = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> Process:
        command = [*COMMAND, "serve", "--config", str(self.configs[number]), "--json"]
        process = Process(f"gateway-{number}", command, self._folder / "logs", self._environment)
        process.announced()
        return process

    def restart(self, number: int) -> None:
        self.processes[number] = self._start(number)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    async def key(self, terms: Terms) -> str:
        key = await new_key(load(self.configs[0]), require=Level.ZDR, terms=terms)
        headers = {"authorization": f"Bearer {key}"}

        def known() -> bool:
            return all(httpx2.get(f"{url}/v1/models", headers=headers, trust_env=False).status_code == 200 for url in self.urls)

        await asyncio.to_thread(until, known, "the gateways know the new key")
        return key

    async def entries(self, key: str) -> list[Entry]:
        """All rows of the key's requests."""
        async with store_of(load(self.configs[0]), role="admin") as store:
            return await store.ledger.recent(100_000, key.split("-")[2])

    def close(self) -> None:
        for process in self.processes:
            process.end()


async def told(url: str, key: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        response = await client.get(f"{url}/v1/key", headers={"authorization": f"Bearer {key}"})
    document: dict[str, Any] = response.json()
    assert response.status_code == 200, document
    return document


def body(number: int) -> bytes:
    message = {"role": "user", "content": f"request {number:06}"}
    return json.dumps({"model": "chat", "max_tokens": MAX_TOKENS, "messages": [message]}).encode()


HELD = math.ceil((math.ceil(len(body(0)) / 2) * INPUT + MAX_TOKENS * OUTPUT) / 1_000_000)


class Load:
    """`REQUESTS` requests, spread over the gateways, at most 200 at once. A connection that breaks is not tried again."""

    def __init__(self, fleet: Fleet, key: str, dice: random.Random) -> None:
        self._fleet = fleet
        self._headers = {"authorization": f"Bearer {key}"}
        self._dice = dice
        self.answered = 0
        self.codes: dict[str, int] = {}

    async def run(self) -> None:
        gate = asyncio.Semaphore(200)
        limits = httpx2.Limits(max_connections=256, max_keepalive_connections=256)
        async with httpx2.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:

            async def one(number: int) -> None:
                async with gate:
                    try:
                        url = self._dice.choice(self._fleet.urls)
                        response = await client.post(f"{url}/v1/chat/completions", content=body(number), headers=self._headers)
                    except httpx2.HTTPError:
                        self._count("broken")
                        return
                    self._count("ok" if response.status_code == 200 else str(response.json()["error"]["code"]))

            await asyncio.gather(*(one(number) for number in range(REQUESTS)))

    def _count(self, code: str) -> None:
        self.answered += 1
        self.codes[code] = self.codes.get(code, 0) + 1


def asked(provider: ZdrServer) -> list[str]:
    """What the provider was asked, each by its own words."""
    return [json.loads(request.body)["messages"][0]["content"] for request in provider.asked]


async def quiet(fleet: Fleet, key: str, *, url: str) -> tuple[int, int]:
    """What the ledger says was spent, and what the counters hold, once they agree: reservations of who died are settled by their lease."""
    for _ in range(int(LEASE * 100)):
        spent = sum(entry.cost_micro or 0 for entry in await fleet.entries(key))
        used = (await told(url, key))["budgets"][0]["used_micro"]
        if spent == used:
            break
        await asyncio.sleep(0.1)
    return spent, used


def judge(fleet: Fleet, entries: list[Entry], limit: int, *, first: int = 0) -> None:
    """What must hold whatever happened."""
    assert sum(entry.cost_micro or 0 for entry in entries) <= limit, "never more than there is"
    assert len({entry.request_id for entry in entries}) == len(entries)
    seen = asked(fleet.provider)[first:]
    assert len(set(seen)) == len(seen), "each request reached the provider at most once"
    completed = sum(entry.status is Status.COMPLETED for entry in entries)
    lost = sum(entry.status is Status.LOST for entry in entries)
    other = len(entries) - completed - lost
    assert completed <= len(seen) <= completed + lost + other, "what the provider saw has a row"


@asynccontextmanager
async def staged(folder: Path, *, count: int = 1, store: str = 'url = "sqlite"', counters: str = 'backend = "memory"') -> AsyncIterator[Fleet]:
    async with ZdrServer() as provider:
        fleet = await asyncio.to_thread(Fleet, folder, provider, count=count, store=store, counters=counters)
        try:
            yield fleet
        finally:
            fleet.close()


@pytest.fixture
def place(short_dir: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = short_dir / f"budgets-{random.SystemRandom().randrange(10**6)}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def counters(place: Path) -> Iterator[CounterServer]:
    counter_program()
    folder = place / "counters"
    folder.mkdir()
    server = CounterServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def test_a_thousand_requests_against_money_for_a_hundred_and_a_kill_in_the_middle(place: Path) -> None:
    limit = 100 * HELD
    async with staged(place) as fleet:
        key = await fleet.key(Terms(budgets=(Budget(limit_micro=limit, window="year"),)))
        load_ = Load(fleet, key, random.Random(1))
        running = asyncio.get_running_loop().create_task(load_.run())
        await asyncio.to_thread(until, lambda: load_.codes.get("ok", 0) >= 40, "some were answered", seconds=60)
        fleet.processes[0].kill()
        await running
        fleet.restart(0)
        first = dict(load_.codes)
        again = Load(fleet, key, random.Random(2))
        before = len(fleet.provider.asked)
        await again.run()
        spent, used = await quiet(fleet, key, url=fleet.urls[0])
        entries = await fleet.entries(key)
        assert spent == used
        assert first.get("broken")
        assert again.codes.keys() <= {"ok", "insufficient_quota"}
        assert limit // 2 < spent <= limit, "what is held while hundreds come at once is given back too late for the last of them"
        assert sum(entry.status is Status.COMPLETED for entry in entries) >= first["ok"] + again.codes.get("ok", 0)
        assert len(fleet.provider.asked) <= len(entries)
        assert len(fleet.provider.asked) - before == again.codes.get("ok", 0)


@pytest.mark.parametrize("fault", ["none", "worker", "counters", "database"])
async def test_two_workers_share_a_budget(fault: str, place: Path, counters: CounterServer, own_postgres: Callable[..., Postgres]) -> None:
    """kill -9 of one of them, counters that lose everything, a database that restarts: each in the middle of a thousand requests."""
    server = own_postgres()
    database = server.database()
    limit = 200 * HELD
    shared = f'backend = "valkey"\nurl = "{counters.url}"'
    (place / "password").write_text(server.password)
    (place / "password").chmod(0o600)
    store = f'url = "{server.url(database)}"\npassword = "file:password"\ntls = false'
    async with staged(place, count=2, store=store, counters=shared) as fleet:
        key = await fleet.key(Terms(budgets=(Budget(limit_micro=limit, window="year"),), limits=(Limit(parallel=10_000),)))
        load_ = Load(fleet, key, random.Random(fault))
        running = asyncio.get_running_loop().create_task(load_.run())
        await asyncio.to_thread(until, lambda: load_.codes.get("ok", 0) >= 50, "some were answered", seconds=60)
        match fault:
            case "worker":
                fleet.processes[1].kill()
            case "counters":
                await asyncio.to_thread(counters.kill)
                await asyncio.to_thread(counters.start)
            case "database":
                await asyncio.to_thread(server.restart)
        await running
        if fault == "worker":
            fleet.restart(1)
        spent, used = await quiet(fleet, key, url=fleet.urls[0])
        entries = await fleet.entries(key)
        judge(fleet, entries, limit)
        assert spent == used, f"{fault}: the ledger says {spent}, the counters {used}; {load_.codes}"
        assert load_.answered == REQUESTS
        if fault == "none":
            assert load_.codes.keys() == {"ok", "insufficient_quota"}
            assert len(entries) == load_.codes["ok"] == len(fleet.provider.asked)
        held = {limit["of"]: limit["used"] for limit in (await told(fleet.urls[0], key))["limits"]}
        assert held == {"parallel": 0}, "no reservation outlives its lease"
