"""kill -9 and SIGTERM: nobody takes half an answer for a whole one, and the books are right afterwards."""

import asyncio
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from tests.system.asking import DONE, Auditor, Heard, ask, body_of, connected
from tests.system.installation import Installation, installed
from tests.system.processes import until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def mortal(short_dir: Path) -> Iterator[Installation]:
    """An installation whose processes may be killed; each test leaves it running."""
    with installed(short_dir / "mortal") as running:
        yield running


@pytest.fixture(scope="module")
def key(mortal: Installation) -> str:
    return mortal.key("survivor")


# The enclave


async def test_the_enclave_is_killed_while_it_answers(mortal: Installation, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=mortal.url + "/v1", api_key=key, max_retries=0) as client:
        listening = asyncio.Semaphore(0)
        known = len(mortal.rows())

        async def listen() -> str:
            stream = await client.chat.completions.create(model="slow-stream", messages=[{"role": "user", "content": "hello"}], stream=True)
            heard = 0
            try:
                async for _ in stream:
                    heard += 1
                    if heard == 2:
                        listening.release()
            except openai.APIError as error:
                return type(error).__name__
            return "a clean end"

        async def wait() -> str:
            try:
                await client.chat.completions.create(model="slow-first", messages=[{"role": "user", "content": "hello"}])
            except openai.InternalServerError as error:
                return f"{error.status_code} {error.code}"
            return "an answer"

        streams = [asyncio.get_running_loop().create_task(listen()) for _ in range(4)]
        whole = asyncio.get_running_loop().create_task(wait())
        for _ in streams:
            await listening.acquire()
        mortal.enclave.kill()
        assert await asyncio.gather(*streams) == ["APIError"] * 4
        assert await whole == "502 upstream_error"
        assert [row["status"] for row in mortal.rows()[known:]] == ["upstream_failed"] * 5
        assert len({row["session_id"] for row in mortal.rows()[known:]}) == 1

        # It comes back with new keys, as a machine does after a restart: it is verified anew, then served.
        mortal.start_enclave()
        answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].finish_reason == "stop"
    *failed, served = mortal.rows()[known:]
    assert served["status"] == "completed"
    assert served["session_id"] not in {row["session_id"] for row in failed}


# The gateway


async def ask_until_killed(client: httpx2.AsyncClient, key: str, dice: random.Random, kept: list[Heard], served: asyncio.Event) -> None:
    """Ask for answers of every length, one after the other, until one does not come whole. `served` is set once one did."""
    while True:
        stream = dice.random() < 0.7
        if stream and dice.random() < 0.3:
            heard = await ask(client, key, "slow-stream", stream=True, max_tokens=dice.randint(1, 4))
        else:
            heard = await ask(client, key, "chat", stream=stream)
        kept.append(heard)
        if not heard.complete:
            return
        served.set()


async def a_killing(installation: Installation, key: str, dice: random.Random, clients: int) -> list[Heard]:
    """kill -9 of the gateway at a random moment under load, and its restart. Returns what all clients heard."""
    kept: list[Heard] = []
    async with connected(installation) as client:
        loop, served = asyncio.get_running_loop(), asyncio.Event()
        asking = [loop.create_task(ask_until_killed(client, key, random.Random(dice.random()), kept, served)) for _ in range(clients)]
        async with asyncio.timeout(30):
            await served.wait()
        await asyncio.sleep(dice.uniform(0.0, 1.5))
        installation.gateway.kill()
        await asyncio.gather(*asking)
    installation.start_gateway()
    return kept


async def judge(installation: Installation, key: str, kept: list[Heard]) -> None:
    """What must hold after a restart, before anything else is asked."""
    assert installation.intents() == []  # each became a row
    complete = [heard for heard in kept if heard.complete]
    begun = [heard for heard in kept if heard.request_id and not heard.complete]
    rows = {row["request_id"]: row for row in installation.rows()}
    assert len(rows) == len(installation.rows())
    lost = [heard.request_id for heard in complete if heard.request_id not in rows]
    assert not lost, f"{len(lost)} of {len(complete)} answers that clients have are not in the ledger"
    assert {rows[heard.request_id]["status"] for heard in complete} <= {"completed"}
    assert all(heard.request_id in rows for heard in begun)
    assert {rows[heard.request_id]["status"] for heard in begun} <= {"lost", "completed"}  # completed: recorded, its last bytes never left
    assert await Auditor(installation, key).unproven(complete) == []


async def test_the_gateway_is_killed_under_load(mortal: Installation, key: str) -> None:
    kept = await a_killing(mortal, key, random.Random(20), clients=8)
    assert any(heard.complete for heard in kept)
    assert any(heard.request_id and not heard.complete for heard in kept)
    await judge(mortal, key, kept)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("durability", ["full", "process"])
async def test_the_gateway_is_killed_under_load_again_and_again(short_dir: Path, durability: str) -> None:
    dice = random.Random(f"rounds of {durability}")
    kept: list[Heard] = []
    with installed(short_dir / durability, settings=f'durability = "{durability}"') as installation:
        key = await asyncio.to_thread(installation.key, "survivor")
        for _ in range(4):
            kept += await a_killing(installation, key, dice, clients=24)
            assert installation.intents() == []
        await judge(installation, key, kept)
        lost = installation.rows("status = 'lost'")
        assert lost
        assert all(row["receipt"] is None and row["output_tokens"] == 0 for row in lost)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_whoever_has_an_answer_has_its_row(mortal: Installation, key: str, stream: bool) -> None:
    """The gateway is frozen at the moment that its client has the last byte: what a kill would leave can be read at leisure."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", mortal.port)) as connection:
            body = body_of("chat", stream=stream)
            connection.sendall(
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
            )
            heard = b""
            while not is_whole(heard, stream=stream):
                heard += connection.recv(65536)
            with mortal.gateway.frozen():
                request_id = heard.partition(b"x-request-id: req_")[2][:32].decode()
                assert [row["status"] for row in mortal.rows("request_id = ?", request_id)] == ["completed"]


def is_whole(heard: bytes, *, stream: bool) -> bool:
    """Whether an application has all that it needs: the end mark of a stream, or all bytes of a body."""
    if stream:
        return DONE in heard
    head, found, body = heard.partition(b"\r\n\r\n")
    return bool(found) and len(body) == int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])


async def test_the_gateway_is_killed_between_requests(mortal: Installation, key: str) -> None:
    before = len(mortal.rows())
    async with connected(mortal) as client:
        kept = list(await asyncio.gather(*(ask(client, key, "chat", stream=number % 2 == 0) for number in range(16))))
        mortal.gateway.kill()
    assert all(heard.complete for heard in kept)
    mortal.start_gateway()
    await judge(mortal, key, kept)
    assert [row["status"] for row in mortal.rows()[before:]] == ["completed"] * 16


async def test_sigterm_lets_running_answers_finish_and_takes_no_new_ones(mortal: Installation, key: str) -> None:
    async with connected(mortal) as client:
        running = asyncio.get_running_loop().create_task(ask(client, key, "slow-stream", stream=True, max_tokens=5))
        begun = len(mortal.intents())
        await asyncio.to_thread(until, lambda: len(mortal.intents()) > begun, "the request is on its way")
        mortal.gateway.ask_to_end()
        await asyncio.to_thread(until, lambda: refused(mortal.port), "new connections are refused")
        assert not running.done()
        heard = await running
    assert heard.complete
    assert mortal.gateway.ended() == 0
    assert mortal.rows("request_id = ?", heard.request_id)[0]["status"] == "completed"
    mortal.start_gateway()
    await judge(mortal, key, [heard])


def refused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.connect(("127.0.0.1", port))
        except (ConnectionRefusedError, ConnectionResetError):  # reset: it was in the line of a listener that closed just then
            return True
        return False
