"""Many callers who stream at once, and some of whom leave: what each of them saw, and what stayed behind."""

import asyncio
import contextlib
import os
import random
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from tests.faults.upstream import DONE, END, Ask, Upstream, chunked, ok
from tests.faults.wall import busy, sockets
from tests.scripted_enclave import OwnMachine
from tests.stage import MODEL, Stage, chat_body, configuration, eventually, new_key, opened, policy_table

PIECES = 4
_ID = re.compile(rb"id-[0-9a-f]{16}")
_RECEIPT = re.compile(rb"\r\nx-receipt-id: rcpt_[0-9a-f]+\r\n")
_LAST_CHUNK = b"\r\n" + END
_SAMPLES = 10  # of the memory, over the run


async def talk(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """A provider that says the caller's own words back, piece by piece, and lets others speak in between."""
    event = b'data: {"id":"theirs","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % ask.prompt.encode()
    writer.write(ok(ask))
    for _ in range(PIECES):
        writer.writelines(chunked(ask, [event]))
        await asyncio.sleep(0)
    if writer.is_closing():
        return False
    writer.writelines([*chunked(ask, [DONE]), END])
    await writer.drain()
    return True


class Toll(msgspec.Struct):
    """`crossed`: streams with another's words, or not all of their own. `left`: requests, connections, sockets and tasks at the end."""

    whole: int = 0
    aborted: int = 0
    crossed: list[str] = []
    failed: Counter[bytes] = msgspec.field(default_factory=Counter)
    rows: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # by key id and status
    wholes: Counter[str] = msgspec.field(default_factory=Counter)  # whole streams by key id
    left: list[str] = []
    memory: list[int] = []  # bytes that are resident, from the first tenth to the last


class Crowd:
    """`at_once` workers over one gateway, each on its own connection as long as that lasts, in turn for different callers."""

    def __init__(self, stage: Stage, keys: list[str], *, streams: int, aborts: float, seed: int) -> None:
        self._stage = stage
        self._keys = keys
        self._streams = streams
        self._aborts = aborts
        self._random = random.Random(seed)
        self._next = 0
        self.toll = Toll()

    async def run(self, at_once: int) -> Toll:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(self._work())
        return self.toll

    async def _work(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self._next < self._streams:
            number, self._next = self._next, self._next + 1
            if number % (self._streams // _SAMPLES) == 0:
                self.toll.memory.append(_resident())
            reader, writer = connection or await asyncio.open_connection("127.0.0.1", self._stage.server.port)
            connection = reader, writer
            leaves = self._random.choice(("at once", "at the head", "in the middle")) if self._random.random() < self._aborts else ""
            if not await self._stream(number, reader, writer, leaves):
                writer.transport.abort()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _stream(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, leaves: str) -> bool:
        """One stream. Whether the connection can carry another one."""
        key, own = self._keys[number % len(self._keys)], f"id-{self._random.getrandbits(64):016x}"
        body = chat_body(own, stream=True)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        toll = self.toll
        if leaves == "at once":
            await asyncio.sleep(self._random.random() / 50)
            toll.aborted += 1
            return False
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            toll.failed[answer[:40]] += 1
            return False
        while not answer.endswith(_LAST_CHUNK):
            if leaves == "at the head" or (leaves and own.encode() in answer):
                self._judge(answer, own, whole=False)
                toll.aborted += 1
                return False
            data = await reader.read(65_536)
            if not data:
                toll.failed[b"cut"] += 1
                return False
            answer += data
        self._judge(answer, own, whole=True)
        toll.whole += 1
        toll.wholes[key.split("-")[2]] += 1
        return True

    def _judge(self, answer: bytes, own: str, *, whole: bool) -> None:
        seen = Counter(_ID.findall(answer))
        receipt = _RECEIPT.search(answer)
        said = seen == {own.encode(): PIECES} and DONE in answer if whole else set(seen) <= {own.encode()}
        if not said or receipt is None:
            self.toll.crossed.append(own)


@contextlib.asynccontextmanager
async def opened_crowd(folder: Path, *, sealed: bool = False) -> AsyncIterator[Stage]:
    """A gateway before one provider: an open one, or a machine that is attested and sealed to."""
    async with contextlib.AsyncExitStack() as exits:
        models = {MODEL: {"upstreams": ["provider"]}}
        if sealed:
            machine = OwnMachine()
            await machine.start()
            exits.push_async_callback(machine.stop)
            upstream = await exits.enter_async_context(Upstream(talk, machine=machine, counts=False))
            tree = configuration({}, models=models, policies={"machine": policy_table(machine.policy)})
            place = {"policy": "machine", "pcs_url": machine.pcs_url, "root_crl_url": machine.root_crl_url}
        else:
            upstream = await exits.enter_async_context(Upstream(talk, counts=False))
            tree = configuration({}, gateway={"floor": "zdr"}, models=models)
            place = {"adapter": "openai-compatible", "ca": upstream.ca}
        tree["upstreams"] = {"provider": {"url": upstream.url, "max_connections": 64, **place}}
        stage = await exits.enter_async_context(opened(folder, tree))
        await stage.gateway.keepers["provider"].session(10)
        yield stage


async def gather(folder: Path, *, streams: int, at_once: int, callers: int, aborts: float, seed: int, sealed: bool = False) -> Toll:
    """The whole play: `streams` streams of `callers` keys."""
    before, tasks = sockets(), asyncio.all_tasks()
    async with opened_crowd(folder, sealed=sealed) as stage:
        keys = [await new_key(stage.loaded, name=f"caller-{number}") for number in range(callers)]
        await asyncio.sleep(1.5)  # a running gateway looks for new keys each second
        toll = await Crowd(stage, keys, streams=streams, aborts=aborts, seed=seed).run(at_once)
        try:
            await eventually(lambda: not (stage.under_way or busy(stage.gateway) or stage.server.connections))
        except TimeoutError:
            toll.left.append(f"{stage.under_way} requests, {busy(stage.gateway)} connections to the provider, {stage.server.connections} of clients")
        with contextlib.closing(sqlite3.connect(f"file:{stage.loaded.path('state') / 'ollm.db'}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT key_id, status, count(*) FROM ledger_text GROUP BY 1, 2")
            toll.rows = Counter({(key, status): count for key, status, count in found})
    try:
        await eventually(lambda: sockets() <= before and asyncio.all_tasks() <= tasks)
    except TimeoutError:
        toll.left.append(f"{sockets() - before} sockets, {len(asyncio.all_tasks() - tasks)} tasks")
    return toll


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
