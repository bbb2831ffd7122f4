"""A whole gateway with its store on PostgreSQL: chats, keys that are revoked, and a server that is restarted amid requests."""

import asyncio
import collections
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from ollm.app.build import store_of
from ollm.sim.service import SimEnclave, SimOptions
from ollm.values.ledger import Status
from tests.servers.postgres import Postgres, own_postgres
from tests.stage import Stage, chat_body, configuration, new_key, opened, stem
from tests.store.making import eventually

__all__ = ["own_postgres"]
pytestmark = [pytest.mark.slow, pytest.mark.process]


@pytest.fixture
def server(own_postgres: Callable[..., Postgres]) -> Postgres:
    return own_postgres()


@pytest.fixture
async def stage(server: Postgres, tmp_path: Path) -> AsyncIterator[Stage]:
    (tmp_path / "password").write_text(server.password)
    (tmp_path / "password").chmod(0o600)
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"enclave": enclave}, gateway={"durability": "full"})
        tree["store"] = {"url": server.url(server.database()), "password": "file:password", "tls": False}
        async with opened(tmp_path, tree) as stage:
            stage.http.headers["authorization"] = f"Bearer {await new_key(stage.loaded)}"
            await asyncio.sleep(0.7)  # the gateway has seen the key
            yield stage


async def test_a_chat_leaves_its_row_and_its_receipt(stage: Stage, server: Postgres) -> None:
    answer = await stage.chat("Tell me about my diagnosis")
    assert answer.status_code == 200
    assert (await stage.entry(answer)).status is Status.COMPLETED
    assert await stage.receipt(answer)
    server.execute("CHECKPOINT")
    for content in (b"my diagnosis", json.loads(answer.content)["choices"][0]["message"]["content"].encode()[:24]):
        assert not [path.name for path in server.files if content in path.read_bytes()]


async def test_a_key_that_is_revoked_stops_within_a_second(stage: Stage) -> None:
    key = await new_key(stage.loaded)
    await asyncio.sleep(0.7)
    async with httpx2.AsyncClient(base_url=stage.url, headers={"authorization": f"Bearer {key}"}) as client:
        assert (await client.get("/v1/models")).status_code == 200
        async with store_of(stage.loaded, role="admin") as store:
            await store.keys.revoke(key.split("-")[2], 1)
        await asyncio.sleep(1)
        assert (await client.get("/v1/models")).status_code == 401


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_every_answer_is_in_the_ledger_once_whatever_happens_to_the_server(stage: Stage, server: Postgres, how: signal.Signals) -> None:
    answered: list[str] = []
    refused: list[int] = []

    async def caller() -> None:
        for _ in range(50):
            response = await stage.http.post("/v1/chat/completions", content=chat_body())
            if response.status_code == 200:
                answered.append(stem(response))
            else:
                refused.append(response.status_code)

    async def restart() -> None:
        await eventually(lambda: len(answered) >= 100, seconds=20)
        await asyncio.to_thread(server.restart, how)

    await asyncio.gather(restart(), *(caller() for _ in range(20)))
    async with store_of(stage.loaded, role="admin") as store:
        rows = collections.Counter(row.request_id for row in await store.ledger.recent(10_000))
    assert len(answered) + len(refused) == 1000
    assert not refused  # a restart takes less time than an entry may wait
    assert set(rows.values()) == {1}
    assert set(rows) == set(answered)
    assert stage.under_way == 0
