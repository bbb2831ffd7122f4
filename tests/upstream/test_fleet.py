"""Several machines of one upstream: each verified for itself, one that fails takes nothing from the others, one that leaves drains."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import ollm.upstream.fleet
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError, WireError
from ollm.testing.mint.signer import MODEL
from ollm.testing.providers.near import NearServer
from ollm.upstream import registry
from ollm.upstream.fleet import Fleet
from ollm.values.ledger import Status
from tests.stage import MODEL as DEMO
from tests.stage import Stage, eventually, opened, policy_table, upstream_table

CANARY = "the canary sings at midnight"


class Directory:
    """Says which machines there are. `problem` is raised instead."""

    def __init__(self, *servers: NearServer) -> None:
        self.named = [server.url for server in servers]
        self.problem: Exception | None = None
        self.asked = 0

    def __call__(self, settings: UpstreamSettings, fetch: Any) -> "Directory":
        return self

    async def urls(self) -> tuple[str, ...]:
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        return tuple(self.named)


@contextlib.asynccontextmanager
async def machines(number: int) -> AsyncIterator[list[NearServer]]:
    """Machines of one fleet."""
    async with contextlib.AsyncExitStack() as exits:
        first = await exits.enter_async_context(NearServer())
        yield [first, *[await exits.enter_async_context(NearServer(beside=first)) for _ in range(number - 1)]]


def tree(server: NearServer, **upstream: Any) -> dict[str, Any]:
    route = upstream_table(server, "near", adapter="near", model=MODEL, **{"max_machines": 8, **upstream})
    return {
        "gateway": {"listen": "127.0.0.1:0", "floor": "simulated", "durability": "process", "drain_seconds": 1.0},
        "policies": {"near": policy_table(server.policy)},
        "upstreams": {"near": {**route, "url": "https://model.machines.test"}},
        "models": {DEMO: {"upstreams": ["near"], "upstream_model": MODEL}},
    }


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    found = Directory()
    monkeypatch.setitem(registry.MACHINES, "near", found)
    return found


@contextlib.asynccontextmanager
async def staged(folder: Path, directory: Directory, servers: list[NearServer], named: list[NearServer] | None = None) -> AsyncIterator[Stage]:
    """A gateway before `servers`, of which `named` are found, and verified."""
    directory.named = [server.url for server in (servers if named is None else named)]
    async with opened(folder, tree(servers[0])) as stage:
        yield stage


def fleet(stage: Stage) -> Fleet:
    found = stage.gateway.keepers["near"]
    assert isinstance(found, Fleet)
    return found


def verified(stage: Stage) -> int:
    return len(fleet(stage).sessions())


def hosts(stage: Stage) -> set[str]:
    return {each.upstream for each in fleet(stage).state().machines}


def prompts(servers: list[NearServer]) -> list[int]:
    return [len(server.bodies) for server in servers]


async def chats(stage: Stage, number: int) -> list[int]:
    return [(await stage.chat(CANARY)).status_code for _ in range(number)]


async def test_each_machine_is_verified_and_they_take_turns(socket_dir: Path, directory: Directory) -> None:
    async with machines(3) as servers, staged(socket_dir, directory, servers) as stage:
        await eventually(lambda: verified(stage) == 3)
        assert await chats(stage, 6) == [200] * 6
        assert prompts(servers) == [2, 2, 2]
        state = fleet(stage).state()
        assert (state.upstream, state.available, state.last_result) == ("near", True, "verified")
        assert [each.upstream for each in state.machines] == [server.url.removeprefix("https://") for server in servers]
        assert len({each.session_id for each in state.machines}) == 3
        assert directory.asked == 1


async def test_each_request_names_the_session_of_its_machine(socket_dir: Path, directory: Directory) -> None:
    async with machines(2) as servers, staged(socket_dir, directory, servers) as stage:
        await eventually(lambda: verified(stage) == 2)
        cited = set()
        for _ in range(2):
            log = (await stage.receipt(await stage.chat(CANARY)))["event_log"]
            session_id = next(event["session_id"] for event in log if event["type"] == "upstream.verified")
            session = (await stage.http.get(f"/v1/aci/sessions/{session_id}")).json()
            cited.add((session["endpoint"], session["channel_binding"][0]["spki_sha256"]))
        assert cited == {(server.url, server.fingerprint) for server in servers}


async def test_a_bad_machine_is_in_quarantine_alone(socket_dir: Path, directory: Directory) -> None:
    async with machines(3) as servers:
        servers[1].bend = lambda document: document.update(request_nonce="00" * 32)
        async with staged(socket_dir, directory, servers) as stage:
            await eventually(lambda: verified(stage) == 2 and fleet(stage).state().machines[1].last_result == "refused")
            assert await chats(stage, 4) == [200] * 4
            assert prompts(servers) == [2, 0, 2]
            bad = fleet(stage).state().machines[1]
            assert (bad.available, bad.refusals >= 1, bad.retry_at is not None) == (False, True, True)
            assert str(bad.reason).startswith("signer.nonce: ")
            assert fleet(stage).state().reason is None


async def test_when_all_are_bad_the_reason_is_said_and_nothing_is_sent(socket_dir: Path, directory: Directory) -> None:
    async with machines(2) as servers:
        for server in servers:
            server.bend = lambda document: document.update(request_nonce="00" * 32)
        async with staged(socket_dir, directory, servers) as stage:
            response = await stage.chat(CANARY)
            assert response.status_code == 503
            assert "signer.nonce" in response.text
            assert prompts(servers) == [0, 0]
            state = fleet(stage).state()
            assert (state.available, state.last_result) == (False, "refused")


async def test_a_machine_that_can_not_be_reached_is_passed_over(socket_dir: Path, directory: Directory) -> None:
    async with machines(2) as servers, staged(socket_dir, directory, servers) as stage:
        await eventually(lambda: verified(stage) == 2)
        await servers[1].leave()
        assert await chats(stage, 6) == [200] * 6
        assert len(servers[0].bodies) == 6
        assert all(each.session_id for each in fleet(stage).state().machines), "its session isn't to blame"


async def test_a_machine_in_anothers_place_is_verified_before_it_gets_anything(socket_dir: Path, directory: Directory) -> None:
    async with machines(2) as servers, staged(socket_dir, directory, servers[:1]) as stage:
        await eventually(lambda: verified(stage) == 1)
        await servers[0].leave()
        async with NearServer(beside=servers[0], port=servers[0].port) as successor:
            assert (await stage.chat(CANARY)).status_code == 200
            assert (len(successor.queries), len(successor.bodies)) == (1, 1)


async def test_one_that_comes_is_verified_and_one_that_leaves_drains(socket_dir: Path, directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.fleet, "_LOOK_SECONDS", 0.3)
    async with machines(3) as servers, staged(socket_dir, directory, servers, servers[:2]) as stage:
        await eventually(lambda: verified(stage) == 2)
        directory.named = [servers[1].url, servers[2].url]
        await eventually(lambda: hosts(stage) == {url.removeprefix("https://") for url in directory.named})
        await eventually(lambda: verified(stage) == 2)
        before = prompts(servers)
        assert await chats(stage, 4) == [200] * 4
        assert [after - earlier for after, earlier in zip(prompts(servers), before, strict=True)] == [0, 2, 2]


async def test_requests_on_their_way_to_one_that_leaves_finish(socket_dir: Path, directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.upstream.fleet, "_LOOK_SECONDS", 0.3)
    async with machines(2) as servers, staged(socket_dir, directory, servers, servers[:1]) as stage:
        await eventually(lambda: verified(stage) == 1)
        [session] = fleet(stage).sessions()
        sealed = await session.seal("/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', {}, streamed=False)
        answer = await session.send(sealed)
        directory.named = [servers[1].url]
        await eventually(lambda: hosts(stage) == {servers[1].url.removeprefix("https://")})
        assert b"chat.completion" in await answer.read_all()
        answer.close()
        with pytest.raises(UpstreamError, match="has ended"):
            await session.send(sealed)


@pytest.mark.parametrize("problem", [UpstreamError("connect", "timed out"), WireError("no number")])
async def test_where_nobody_knows_the_machines_the_last_known_serve(
    problem: Exception, socket_dir: Path, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollm.upstream.fleet, "_LOOK_SECONDS", 0.2)
    async with machines(2) as servers, staged(socket_dir, directory, servers) as stage:
        await eventually(lambda: verified(stage) == 2)
        directory.problem = problem
        asked = directory.asked
        await eventually(lambda: directory.asked > asked + 1)
        assert verified(stage) == 2
        assert await chats(stage, 2) == [200, 200]


async def test_where_nobody_ever_knew_the_configured_url_serves() -> None:
    made: list[str] = []

    def make(url: str) -> Any:
        made.append(url)
        raise Unused

    async def none() -> tuple[str, ...]:
        return ()

    alone = Fleet("near", "https://model.machines.test", none, make)
    with pytest.raises(Unused):
        await alone.session(5)
    assert made == ["https://model.machines.test"]
    assert alone.state().last_result == "never"
    await alone.close()


class Unused(Exception):
    """Far enough."""


async def test_one_slow_look_serves_all_who_wait_and_a_waiter_that_leaves_stops_nothing() -> None:
    release, asked = asyncio.Event(), 0

    async def slow() -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        await release.wait()
        raise UpstreamError("connect", "timed out")

    def make(url: str) -> Any:
        raise Unused

    alone = Fleet("near", "https://model.machines.test", slow, make)
    with pytest.raises(TimeoutError):
        await alone.session(0.05)
    waiting = [asyncio.create_task(alone.session(5)) for _ in range(10)]
    await asyncio.sleep(0.01)
    release.set()
    assert {type(result) for result in await asyncio.gather(*waiting, return_exceptions=True)} == {Unused}
    assert asked == 1
    await alone.close()


async def test_a_session_that_is_distrusted_is_its_own_machines_alone(socket_dir: Path, directory: Directory) -> None:
    async with machines(2) as servers, staged(socket_dir, directory, servers) as stage:
        await eventually(lambda: verified(stage) == 2)
        first, second = fleet(stage).sessions()
        fleet(stage).distrust(first)
        assert fleet(stage).sessions() == (second,)
        await eventually(lambda: verified(stage) == 2)
        assert first not in fleet(stage).sessions()
        entry = await stage.entry(await stage.chat(CANARY))
        assert entry.status is Status.COMPLETED


async def test_a_session_that_is_held_is_given_at_once(socket_dir: Path, directory: Directory) -> None:
    async with machines(1) as servers, staged(socket_dir, directory, servers) as stage:
        await eventually(lambda: verified(stage) == 1)
        assert await fleet(stage).session(0.0001) is fleet(stage).sessions()[0]


async def test_closing_ends_a_look_that_is_running_and_none_follows() -> None:
    begun = asyncio.Event()

    async def endless() -> tuple[str, ...]:
        begun.set()
        await asyncio.Event().wait()
        return ()

    alone = Fleet("near", "https://model.machines.test", endless, lambda url: pytest.fail("nothing is made"))
    waiting = asyncio.create_task(alone.session(5))
    await begun.wait()
    await alone.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert alone._next_look is None
    assert not alone._working
