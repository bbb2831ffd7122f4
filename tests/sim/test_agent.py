"""The guest agent's socket, spoken to as a workload would."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import dcap_qvl
import pytest

from ollm.sim.agent import GuestAgent
from ollm.sim.machine import SimulatedMachine


@pytest.fixture
async def agent(machine: SimulatedMachine, socket_dir: Path) -> AsyncIterator[Path]:
    server = GuestAgent(machine, socket_dir / "dstack.sock")
    await server.start()
    yield socket_dir / "dstack.sock"
    await server.stop()


async def exchange(path: Path, *requests: bytes) -> list[tuple[int, dict[str, str]]]:
    """Send `requests` one after the other on one connection; status and JSON of each answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    answers = []
    for request in requests:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        answers.append((int(head.split(" ")[1]), json.loads(await reader.readexactly(length))))
    writer.close()
    await writer.wait_closed()
    return answers


def post(method: str, body: str) -> bytes:
    return f"POST /{method} HTTP/1.1\r\nHost: dstack\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_get_quote_answers_with_quote_log_and_configuration(agent: Path, machine: SimulatedMachine) -> None:
    ((status, answer),) = await exchange(agent, post("GetQuote", json.dumps({"report_data": "ab" * 64})))
    assert status == 200
    assert dcap_qvl.parse_quote(bytes.fromhex(answer["quote"])).report.report_data == b"\xab" * 64
    assert answer["report_data"] == "ab" * 64
    assert (answer["event_log"], answer["vm_config"]) == (machine.event_log_json, machine.vm_config)


async def test_short_report_data_is_padded_with_zeros(agent: Path) -> None:
    ((_, answer),) = await exchange(agent, b"GET /GetQuote?report_data=abcd HTTP/1.1\r\nHost: dstack\r\n\r\n")
    assert answer["report_data"] == "abcd" + "00" * 62


async def test_info_says_what_runs(agent: Path, machine: SimulatedMachine) -> None:
    ((status, answer),) = await exchange(agent, post("Info", "{}"))
    assert status == 200
    assert answer["app_name"] == machine.app_name
    assert json.loads(answer["tcb_info"])["app_compose"] == machine.app_compose


async def test_one_connection_carries_many_requests(agent: Path) -> None:
    answers = await exchange(agent, post("Info", ""), post("Info", "{}"), post("GetQuote", '{"report_data":""}'))
    assert [status for status, _ in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    ("request_bytes", "status", "error"),
    [
        (post("GetQuote", '{"report_data":"zz"}'), 400, "report_data is not hex"),
        (post("GetQuote", '{"report_data":7}'), 400, "report_data is not hex"),
        (post("GetQuote", json.dumps({"report_data": "00" * 65})), 400, "Report data is too long"),
        (post("GetQuote", "{"), 400, "the body is not JSON"),
        (post("GetQuote", "[]"), 400, "the body is not a JSON object"),
        (post("DeriveKey", "{}"), 404, "no such method"),
        (post("/[", "{}"), 404, "no such method"),
        (b"PUT /Info HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405, "GET or POST"),
        (b"nonsense\r\n\r\n", 400, "not an HTTP request that this agent understands"),
        (b"POST /Info HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + bytes(20_000), 400, "not an HTTP request that this agent understands"),
        (post("Info", "{}") + post("Info", "{}"), 400, "not an HTTP request that this agent understands"),
    ],
)
async def test_a_bad_request_is_refused_with_its_reason(agent: Path, request_bytes: bytes, status: int, error: str) -> None:
    assert await exchange(agent, request_bytes) == [(status, {"error": error})]


async def test_a_client_that_asks_for_it_is_disconnected_after_its_answer(agent: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(agent))
    writer.write(b"GET /Info HTTP/1.1\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert b"\r\nConnection: close\r\n" in answer
    writer.close()


async def test_only_this_user_can_connect_and_a_dead_socket_is_replaced(agent: Path, machine: SimulatedMachine) -> None:
    assert stat.S_IMODE(os.stat(agent).st_mode) == 0o600
    stale = agent.with_name("stale.sock")
    stale.write_bytes(b"")
    successor = GuestAgent(machine, stale)
    await successor.start()
    assert (await exchange(stale, post("Info", "{}")))[0][0] == 200
    await successor.stop()


async def test_stopping_ends_open_connections_and_removes_the_socket(machine: SimulatedMachine, socket_dir: Path) -> None:
    server = GuestAgent(machine, socket_dir / "dstack.sock")
    await server.stop()  # nothing to stop yet
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(socket_dir / "dstack.sock"))
    writer.write(post("Info", "{}"))
    await reader.readuntil(b"\r\n\r\n")
    await server.stop()
    assert (await reader.read()).endswith(b"}")  # the answer, then the end
    assert not (socket_dir / "dstack.sock").exists()
    writer.close()


async def test_a_path_that_cannot_hold_a_socket_is_an_error(machine: SimulatedMachine, socket_dir: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        await GuestAgent(machine, socket_dir / ("x" * 120)).start()
