"""Zero retention, tried: everything that can be said is marked, every way to end is taken, at the most talkative; nothing is found."""

import asyncio
import base64
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ollm.values.level import Level
from tests.scripted_enclave import ScriptedEnclave, scripted_enclave
from tests.system import marked
from tests.system.canaries import Canaries, Sink, files_below, of_process, shared_places
from tests.system.installation import MODELS, Installation
from tests.system.marked_cases import Case, Cases, Said, say
from tests.system.processes import until

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

TALKATIVE = {"OLLM_LOG": "debug", "PYTHONASYNCIODEBUG": "1"}
HOSTILE = {name: ("hostile", name) for name in (*(f"echo-{status}" for status in marked.ECHOED), *marked.FORMS)}


class Run:
    """One run: an installation, a provider that repeats what it is told, and everything that the gateway answered."""

    def __init__(self, installation: Installation, canaries: Canaries, hostile: ScriptedEnclave) -> None:
        self.installation = installation
        self.canaries = canaries
        self.hostile = hostile
        self.began = time.time() - 1
        self.heard: list[Said] = []
        self.key = installation.key("application")
        self.cases = Cases(canaries, self.key, installation.key("strict", Level.TEE))
        secret = self.key[-43:]
        canaries.secret("API key", secret)
        canaries.binary("API key's bytes", base64.urlsafe_b64decode(secret + "="))

    async def say(self, case: Case) -> Said:
        try:
            said = await asyncio.wait_for(say(self.installation.port, case), 30)
        except OSError:
            gateway = self.installation.gateway
            raise AssertionError(f"{case.name}: no answer; gateway runs: {gateway.running}\n{gateway.err.read_text()[-2000:]}") from None
        self.canaries.body(said.body)
        self.heard.append(said)
        return said

    def sinks(self) -> Iterator[Sink]:
        yield from files_below(self.installation.directory)
        yield from shared_places(self.began)
        for process in self.installation.processes:
            yield from of_process(process.pid)

    def nothing_is_kept(self) -> None:
        leaks = self.canaries.leaks(self.sinks())
        assert not leaks, "\n".join(f"{leak.sink}: {leak.form}: {leak.context!r}" for leak in leaks)

    def nothing_is_told(self) -> None:
        """Heads of answers and errors, in streams too, hold no mark: they may be logged by whoever stands between."""
        told = [Sink(f"answer to: {said.case.name}", said.head) for said in self.heard]
        told += [Sink(f"error for: {said.case.name}", said.body) for said in self.heard if said.status != 200]
        told += [Sink(f"error in: {said.case.name}", line) for said in self.heard for line in said.body.split(b"\n") if b'data: {"error"' in line]
        leaks = self.canaries.leaks(told)
        assert not leaks, "\n".join(f"{leak.sink}: {leak.form}: {leak.context!r}" for leak in leaks)


@contextlib.asynccontextmanager
async def started(short_dir: Path, settings: str = "") -> AsyncIterator[Run]:
    canaries = Canaries()
    async with scripted_enclave(marked.Echo(canaries)) as hostile:
        installation = Installation(short_dir / f"marked-{settings.count('=')}", environment=TALKATIVE, settings=settings)
        try:
            await asyncio.to_thread(installation.start_enclave)
            installation.configure({**MODELS, **HOSTILE}, {"hostile": hostile})
            await asyncio.to_thread(installation.start_gateway)
            yield await asyncio.to_thread(Run, installation, canaries, hostile)
        finally:
            await asyncio.to_thread(installation.close)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(short_dir: Path) -> AsyncIterator[Run]:
    async with started(short_dir) as running:
        yield running


async def test_nothing_of_what_passes_is_kept(run: Run) -> None:
    unexpected = [f"{case.name}: {said.status}, not {case.status}" for case in run.cases.all() if (said := await run.say(case)).status != case.status]
    assert not unexpected
    assert all(run.canaries.leaks([Sink("what the provider got", asked.body)]) for asked in run.hostile.asked)
    run.nothing_is_told()
    await asyncio.to_thread(run.nothing_is_kept)


async def test_nothing_is_kept_of_what_was_cut_off(run: Run) -> None:
    installation = run.installation

    # Clients that leave: while the provider's headers are awaited, before its first byte, in the middle of the answer.
    asked = [await sent(run, run.cases.chat(model, stream=True)) for model in ("slow-headers", "slow-first", "slow-stream")]
    await asked[-1][0].readuntil(b"data: ")
    await asyncio.to_thread(run.nothing_is_kept)
    for _, writer in asked:
        writer.transport.abort()
    rows = await asyncio.to_thread(installation.settled, 3, "status = 'client_gone'")
    assert {row["model"] for row in rows} == {"slow-headers", "slow-first", "slow-stream"}

    # kill -9 of the enclave, then of the gateway, in the middle of an answer.
    answers = [await sent(run, run.cases.chat("slow-stream", stream=True)) for _ in range(3)]
    for reader, _ in answers:
        await reader.readuntil(b"data: ")
    installation.enclave.kill()
    for reader, writer in answers:
        assert b'data: {"error"' in await reader.read(-1)
        writer.close()
    assert (await run.say(Case("machine that is gone", 502, run.cases.chat("chat")))).status == 502
    await asyncio.to_thread(installation.start_enclave)
    reader, writer = await sent(run, run.cases.chat("slow-stream", stream=True))
    await reader.readuntil(b"data: ")
    installation.gateway.kill()
    writer.close()
    await asyncio.to_thread(run.nothing_is_kept)

    # SIGTERM while an answer is on its way.
    await asyncio.to_thread(installation.start_gateway)
    reader, writer = await sent(run, run.cases.chat("slow-stream", stream=True, max_tokens=3))
    installation.gateway.ask_to_end()
    assert b"data: [DONE]" in await reader.read(-1)
    writer.close()
    assert await asyncio.to_thread(installation.gateway.ended) == 0
    await asyncio.to_thread(run.nothing_is_kept)
    run.nothing_is_told()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_is_kept_when_everything_happens_at_once_and_is_killed(short_dir: Path) -> None:
    dice = random.Random(7)
    async with started(short_dir, 'durability = "process"') as run:
        room = asyncio.Semaphore(24)

        async def say_if_there_is_someone(case: Case, heard: list[Said]) -> None:
            async with room:
                with contextlib.suppress(OSError):  # the gateway was killed
                    heard.append(await say(run.installation.port, case))

        for _ in range(4):
            cases = list(run.cases.all())
            held = [Case("held", 200, run.cases.chat("slow-stream", stream=True))] * 8
            dice.shuffle(cases)
            heard: list[Said] = []
            talking = [asyncio.get_running_loop().create_task(say_if_there_is_someone(case, heard)) for case in held + cases]
            moment = dice.randrange(len(cases) // 2)
            async with asyncio.timeout(30):
                while len(heard) < moment:  # noqa: ASYNC110 - a count, not an event
                    await asyncio.sleep(0.01)
            run.installation.gateway.kill()
            await asyncio.to_thread(run.nothing_is_kept)
            await asyncio.gather(*talking)
            run.heard += heard
            await asyncio.to_thread(run.installation.start_gateway)
        run.nothing_is_told()
        await asyncio.to_thread(run.nothing_is_kept)
        assert len(run.installation.rows("status = 'lost'")) >= 4


async def sent(run: Run, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose request has gone on to the provider."""
    under_way = len(run.installation.intents())
    reader, writer = await asyncio.open_connection("127.0.0.1", run.installation.port)
    writer.write(request)
    await asyncio.to_thread(until, lambda: len(run.installation.intents()) > under_way, "the request is on its way")
    return reader, writer
