"""Clients that are slow, silent, gone or too many."""

import asyncio
import socket
import struct
import time
from typing import Any

import pytest

from ollm.serving.http import Receive, Scope, Send, respond
from ollm.serving.limits import Limits
from ollm.serving.tls import TlsIdentity
from tests.serving.client import Client, Recorder, connect, error_code, parse_answers, serving, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1024 * 1024


def fast(**limits: Any) -> Limits:
    return Limits(**{"linger_seconds": 0.2, **limits})


# Slow clients


@pytest.mark.parametrize("beginning", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: y"])
async def test_slow_headers_are_answered_with_408(beginning: bytes) -> None:
    async with serving(Recorder(), limits=fast(header_seconds=0.2)) as server, connect(server) as client:
        await client.send(beginning)
        (answer,) = parse_answers(await client.read_all())
    assert answer[0] == 408 and error_code(answer[2]) == "request_timeout" and answer[1]["connection"] == "close"
    assert "x-should-retry" not in answer[1]  # it may be tried again


async def test_dripping_headers_gains_no_time() -> None:
    async with serving(Recorder(), limits=fast(header_seconds=0.4)) as server, connect(server) as client:
        started = time.monotonic()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        while not client.reader.at_eof() and time.monotonic() - started < 5 and not client.reader._buffer:  # type: ignore[attr-defined]
            await client.send(b"y")
            await asyncio.sleep(0.05)
        assert time.monotonic() - started < 2
        assert parse_answers(await client.read_all())[0][0] == 408


async def test_a_connection_without_a_request_is_closed_silently() -> None:
    async with serving(Recorder(), limits=fast(header_seconds=0.2)) as server, connect(server) as client:
        assert await client.read_all() == b""


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with serving(Recorder(), limits=fast(idle_seconds=0.3)) as server, connect(server) as client:
        for _ in range(3):
            await client.send(GET)
            assert (await client.answer())[0] == 200
            await asyncio.sleep(0.1)
        started = time.monotonic()
        assert await client.read_all() == b""
        assert 0.05 < time.monotonic() - started < 2


async def test_a_slow_body_is_answered_with_408_and_the_application_sees_a_disconnect() -> None:
    app = Recorder()
    limits = fast(body_window_seconds=0.2, body_min_rate=1000)
    async with serving(app, limits=limits) as server, connect(server) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(5):
            await client.send(b"x")
            await asyncio.sleep(0.02)
        (answer,) = parse_answers(await client.read_all())
        assert answer[0] == 408 and error_code(answer[2]) == "request_timeout"
    assert app.calls == [] and len(app.scopes) == 1


async def test_a_steady_body_may_take_longer_than_a_window() -> None:
    app = Recorder()
    async with serving(app, limits=fast(body_window_seconds=0.1, body_min_rate=1000)) as server, connect(server) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
        for _ in range(20):
            await client.send(b"x" * 500)
            await asyncio.sleep(0.02)
        assert (await client.answer())[0] == 200
    assert len(app.calls[0][2]) == 10000


async def test_an_application_that_reads_late_is_not_the_clients_fault() -> None:
    sizes: list[int] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        size, more = 0, True
        while more:
            message = await receive()
            sizes.append(len(message["body"]))
            size, more = size + len(message["body"]), message["more_body"]
        await respond(send, 200, b"%d" % size)

    async with serving(late, limits=fast(body_window_seconds=0.1, body_min_rate=MIB)) as server, connect(server) as client:
        sending = asyncio.get_running_loop().create_task(
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n" + b"x" * 4 * MIB)
        )
        assert (await client.answer())[2] == b"4194304"
        await sending
    assert max(sizes) < MIB  # a body waits in the client, not here


# Clients that are gone


class Watching:
    """Starts to answer (or not) and then waits for nothing but the disconnect callback."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.begun = asyncio.Event()
        self.gone_at: float | None = None
        self.calls = 0

    def _gone(self) -> None:
        self.calls += 1
        self.gone_at = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        disconnect = scope["extensions"]["ollm.disconnect"]
        disconnect.on_disconnect(self._gone)
        if self.phase != "reading":
            while (await receive())["more_body"]:
                pass
        if self.phase == "streaming":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        self.begun.set()
        await until(lambda: disconnect.lost)
        await send({"type": "http.response.start", "status": 200, "headers": []} if self.phase != "streaming" else {"type": "http.response.body"})


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["abort", "close"])
@pytest.mark.parametrize(("phase", "size"), [("reading", 10), ("waiting", 10), ("waiting", 300_000), ("streaming", 10), ("streaming", 300_000)])
async def test_a_client_that_leaves_is_noticed_at_once(phase: str, size: int, how: str, encrypted: bool, identity: TlsIdentity) -> None:
    app = Watching(phase)
    tls = identity if encrypted else None
    promised = size + 1 if phase == "reading" else size
    async with serving(app, tls=tls) as server, connect(server, tls) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % promised + b"x" * size)
        await app.begun.wait()
        left_at = time.monotonic()
        client.abort() if how == "abort" else client.writer.close()
        await until(lambda: app.gone_at is not None)
        assert app.gone_at is not None and app.gone_at - left_at < 0.2
        await until(lambda: server.connections == 0)
    assert app.calls == 1


async def test_the_callback_is_called_once_only_while_the_request_runs() -> None:
    called: list[str] = []
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        scope["extensions"]["ollm.disconnect"].on_disconnect(lambda: called.append("early"))
        await receive()
        await respond(send, 200, b"done")
        scope["extensions"]["ollm.disconnect"].on_disconnect(lambda: called.append("late"))

    async with serving(app) as server:
        async with connect(server) as client:
            await client.send(GET)
            assert (await client.answer())[0] == 200
        await until(lambda: server.connections == 0)
    assert called == []


async def test_pipelined_requests_behind_a_lost_one_are_not_begun() -> None:
    app = Watching("waiting")
    async with serving(app) as server:
        async with connect(server) as client:
            await client.send(GET)
            await app.begun.wait()
            client.abort()
        await until(lambda: app.gone_at is not None)
    assert app.calls == 1


async def test_a_half_closed_client_is_gone() -> None:
    app = Watching("waiting")
    async with serving(app) as server, connect(server) as client:
        await client.send(GET)
        await app.begun.wait()
        client.writer.write_eof()
        await until(lambda: app.gone_at is not None)


# Clients that do not read


class Flood:
    """Streams as fast as it may; `sent` counts what `send` took."""

    def __init__(self, piece: int = 16 * 1024, total: int = 64 * MIB) -> None:
        self.sent = 0
        self.ended = False
        self._piece, self._total = b"x" * piece, total

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = scope["extensions"]["ollm.disconnect"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while self.sent < self._total and not gone.lost:
            await send({"type": "http.response.body", "body": self._piece, "more_body": True})
            self.sent += len(self._piece)
        await send({"type": "http.response.body"})
        self.ended = True


async def settled(app: Flood) -> int:
    """What was sent once nothing more is taken."""
    seen = -1
    while seen != app.sent:
        seen = app.sent
        await asyncio.sleep(0.15)
    return seen


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_client_that_never_reads_costs_bounded_memory_and_is_dropped(encrypted: bool, identity: TlsIdentity) -> None:
    app, tls = Flood(), identity if encrypted else None
    async with serving(app, tls=tls, limits=fast(write_stall_seconds=1.0)) as server, connect(server, tls, limit=1024) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        await client.send(GET)
        assert await settled(app) < 12 * MIB  # kernel buffers of both ends and one high-water mark, not the 64 MiB
        (connection,) = server._shared.connections  # type: ignore[union-attr]
        assert connection._transport.get_write_buffer_size() < 256 * 1024
        await until(lambda: app.ended, 5)
        await until(lambda: server.connections == 0)
    assert app.sent < 12 * MIB


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_slow_reader_gets_everything(encrypted: bool, identity: TlsIdentity) -> None:
    app, tls = Flood(total=8 * MIB), identity if encrypted else None
    async with serving(app, tls=tls) as server, connect(server, tls, limit=4096) as client:
        await client.send(GET)
        received = await client.read_until(b"\r\n\r\n")
        size = len(received)
        while piece := await client.read_some():
            size += len(piece)
            if piece.endswith(b"0\r\n\r\n"):
                break
    assert size > 8 * MIB and app.ended


async def test_a_finished_answer_that_nobody_reads_is_dropped_too() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"x" * 16 * MIB, [(b"connection", b"close")])

    async with serving(app, limits=fast(write_stall_seconds=0.4)) as server, connect(server, limit=1024) as client:
        await client.send(GET)
        await until(lambda: server.connections == 1)
        await until(lambda: server.connections == 0, 5)


# Answers before the body has come


async def test_an_early_refusal_reaches_a_client_that_is_still_sending() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 413, b"{}")

    async with serving(app) as server, connect(server) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 100_000)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert await client.read_all() == b""  # and nothing of the rest is taken for a request


async def test_what_is_left_of_a_refused_body_is_no_request() -> None:
    calls: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope["path"])
        await respond(send, 401, b"{}")

    async with serving(app) as server, connect(server) as client:
        await client.send(b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        assert (await client.answer())[0] == 401
        await client.send(GET * 30)
        assert await client.read_all() == b""
    assert calls == ["/one"]


async def test_expect_100_continue_is_answered_only_when_the_body_is_wanted() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with serving(Recorder()) as server, connect(server) as client:
        await client.send(head)
        assert await client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hi")
        assert (await client.answer())[0] == 200

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 401, b"{}")

    async with serving(refusing) as server, connect(server) as client:
        await client.send(head)
        assert (await client.answer())[0] == 401
        assert await client.read_all() == b""


# Too many


async def test_more_connections_than_allowed_are_answered_with_503() -> None:
    async with serving(Recorder(), limits=fast(connections=2)) as server, connect(server) as one, connect(server) as two:
        for client in (one, two):
            await client.send(GET)
            assert (await client.answer())[0] == 200
        async with connect(server) as three:
            (answer,) = parse_answers(await three.read_all())
            assert answer[0] == 503 and error_code(answer[2]) == "overloaded"
        await one.send(GET)
        assert (await one.answer())[0] == 200


async def test_keep_alive_serves_many_requests() -> None:
    app = Recorder()
    async with serving(app) as server, connect(server) as client:
        for index in range(50):
            await client.send(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" % index)
            assert await client.answer() == (
                200,
                {"content-type": "application/json", "content-length": str(len(b'{"call":%d}' % (index + 1)))},
                b'{"call":%d}' % (index + 1),
            )
    assert len(app.calls) == 50


async def reset(client: Client) -> None:
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.abort()


async def test_resets_in_the_middle_of_everything_leave_nothing_behind() -> None:
    app = Flood()
    async with serving(app) as server:
        for data in (b"", b"GET", GET, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx", GET * 5):
            async with connect(server) as client:
                await client.send(data)
                await asyncio.sleep(0.01)
                await reset(client)
        await until(lambda: server.connections == 0)
        await until(lambda: not server._shared.tasks)  # type: ignore[union-attr]
