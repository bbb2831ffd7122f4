"""The client of a guest agent, against the simulated agent and against agents that answer nonsense."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ollm.errors import UpstreamError
from ollm.net.dstack import DstackAgent
from ollm.sim.agent import GuestAgent
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from tests.sim.hardware import NOW, REPORT_DATA, FrozenClock
from tests.sim.scripted_server import whole


async def test_a_quote_with_everything_that_proves_it(socket_dir: Path) -> None:
    machine = SimulatedMachine(create_pki(NOW), FrozenClock())
    agent = GuestAgent(machine, socket_dir / "agent.sock")
    await agent.start()
    client = DstackAgent(socket_dir / "agent.sock")
    try:
        for _ in range(2):
            quote = await client.quote(REPORT_DATA)
            assert REPORT_DATA in bytes.fromhex(quote.quote)
            assert quote.event_log == machine.event_log_json
            assert quote.vm_config == machine.vm_config
            assert quote.app_compose == machine.app_compose
    finally:
        await client.close()
        await agent.stop()


@contextlib.asynccontextmanager
async def answering(path: Path, *answers: bytes) -> AsyncIterator[DstackAgent]:
    """An agent that gives `answers` one after the other, one connection each."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(left.pop(0) if left else b"")
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    client = DstackAgent(path)
    try:
        yield client
    finally:
        await client.close()
        server.close()


QUOTE = whole("200 OK", b'{"quote":"abcd","event_log":"[]"}', extra="connection: close\r\n")


@pytest.mark.parametrize(
    "tcb_info",
    [{"app_compose": "{}", "mrtd": "00"}, json.dumps({"app_compose": "{}"})],
    ids=["as an object", "as text"],
)
async def test_both_spellings_of_info_are_read(tcb_info: object, socket_dir: Path) -> None:
    info = whole("200 OK", json.dumps({"app_id": "x", "tcb_info": tcb_info}).encode(), extra="connection: close\r\n")
    async with answering(socket_dir / "agent.sock", QUOTE, info) as client:
        quote = await client.quote(REPORT_DATA)
        assert (quote.quote, quote.event_log, quote.vm_config, quote.app_compose) == ("abcd", "[]", "", "{}")


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([b""], id="nothing"),
        pytest.param([whole("500 Internal Server Error", b"")], id="a failure"),
        pytest.param([whole("200 OK", b"x", extra="connection: close\r\n"), whole("200 OK", b"{}")], id="no JSON"),
        pytest.param([whole("200 OK", b'{"quote":"\xff"}', extra="connection: close\r\n"), whole("200 OK", b"{}")], id="no UTF-8"),
        pytest.param([whole("200 OK", b'{"x":' + b"[" * 99_999, extra="connection: close\r\n"), whole("200 OK", b"{}")], id="endless nesting"),
        pytest.param([QUOTE, whole("200 OK", b"{}")], id="no tcb_info"),
        pytest.param([QUOTE, whole("200 OK", b'{"tcb_info":"{}"}')], id="no compose"),
        pytest.param([QUOTE, whole("200 OK", b'{"tcb_info":"["}')], id="text that is no JSON"),
        pytest.param([QUOTE, whole("200 OK", b'{"tcb_info":{"app_compose":5}}')], id="a compose of another type"),
    ],
)
async def test_an_agent_that_fails_is_a_failure_of_ours_to_name(answers: list[bytes], socket_dir: Path) -> None:
    async with answering(socket_dir / "agent.sock", *answers) as client:
        with pytest.raises(UpstreamError):
            await client.quote(REPORT_DATA)


async def test_no_agent_at_all(socket_dir: Path) -> None:
    client = DstackAgent(socket_dir / "none.sock")
    with pytest.raises(UpstreamError, match="guest agent"):
        await client.quote(REPORT_DATA)
    await client.close()
