"""Start, TLS, drain."""

import asyncio
import os
import signal
import ssl
import time

import pytest

from ollm.errors import ConfigError
from ollm.serving.http import Receive, Scope, Send, respond
from ollm.serving.server import Server
from ollm.serving.tls import TlsIdentity
from tests.serving.client import Recorder, connect, parse_answers, serving, talk, trust, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Gated:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.running = 0
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await respond(send, 200, b"done")


async def test_it_listens_on_a_port_of_the_systems_choice() -> None:
    async with serving(Recorder()) as one, serving(Recorder()) as two:
        assert one.port != two.port and one.port > 0
        assert parse_answers(await talk(one, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))[0][0] == 200


async def test_a_taken_port_is_explained() -> None:
    async with serving(Recorder()) as one:
        with pytest.raises(ConfigError, match=str(one.port)):
            await Server(Recorder(), host="127.0.0.1", port=one.port).start()


async def test_tls_end_to_end(identity: TlsIdentity) -> None:
    app = Recorder()
    async with serving(app, tls=identity) as server, connect(server, identity) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        assert (await client.answer())[0] == 200
        tls = client.writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
    assert app.scopes[0]["scheme"] == "https"


async def test_tls_12_is_refused(identity: TlsIdentity) -> None:
    old = trust(identity)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(Recorder(), tls=identity) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=old, server_hostname="localhost")


async def test_plain_http_on_the_tls_port_reaches_nobody(identity: TlsIdentity) -> None:
    app = Recorder()
    async with serving(app, tls=identity) as server:
        assert not (await talk(server, GET)).startswith(b"HTTP/1.1 200")
    assert app.scopes == []


async def test_a_running_request_is_finished_and_new_ones_are_refused() -> None:
    app = Gated()
    async with serving(app) as server, connect(server) as busy, connect(server) as idle:
        await busy.send(GET)
        await until(lambda: app.running == 1)
        draining = asyncio.get_running_loop().create_task(server.drain(5))
        assert await idle.read_all() == b""  # idle connections are closed at once
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", server.port)
        await busy.send(GET)  # a second request on the busy connection is not taken on
        app.gate.set()
        assert parse_answers(await busy.read_all())[0][2] == b"done"
        await asyncio.wait_for(draining, 2)
    assert app.running == 1 and app.cancelled == 0


async def test_what_takes_too_long_is_cut() -> None:
    app = Gated()
    async with serving(app) as server, connect(server) as client:
        await client.send(GET)
        await until(lambda: app.running == 1)
        started = time.monotonic()
        await server.drain(0.2)
        assert time.monotonic() - started < 2
        answers = parse_answers(await client.read_all())
        assert [status for status, _, _ in answers] in ([503], [])
    assert app.cancelled == 1


async def test_drain_waits_for_applications_that_outlive_their_connection() -> None:
    settled: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()  # until the client is gone
        await asyncio.sleep(0.2)
        settled.append(True)

    async with serving(app) as server:
        async with connect(server) as client:
            await client.send(GET)
            await asyncio.sleep(0.05)
            client.abort()
        await until(lambda: server.connections == 0)
        await server.drain(5)
    assert settled == [True]


async def test_drain_without_start_and_twice() -> None:
    server = Server(Recorder(), host="127.0.0.1", port=0)
    await server.drain(1)
    await server.start()
    await server.drain(1)
    await server.drain(1)


async def test_a_signal_drains_a_process() -> None:
    app = Gated()
    server = Server(app, host="127.0.0.1", port=0)
    running = asyncio.get_running_loop().create_task(server.run(5))
    await until(lambda: server.port != 0)
    async with connect(server) as client:
        await client.send(GET)
        await until(lambda: app.running == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert not running.done()
        app.gate.set()
        assert (await client.answer())[2] == b"done"
    await asyncio.wait_for(running, 5)


async def test_a_second_signal_ends_the_waiting() -> None:
    app = Gated()
    server = Server(app, host="127.0.0.1", port=0)
    running = asyncio.get_running_loop().create_task(server.run(60))
    await until(lambda: server.port != 0)
    async with connect(server) as client:
        await client.send(GET)
        await until(lambda: app.running == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(running, 5)
    assert app.cancelled == 1


async def test_a_server_without_tls_has_none_to_renew(identity: TlsIdentity) -> None:
    async with serving(Recorder()) as server:
        with pytest.raises(ConfigError, match="no TLS"):
            server.renew(identity)


async def test_servers_of_one_user_can_share_a_port() -> None:
    first = Server(Recorder(), host="127.0.0.1", port=0, shared=True)
    await first.start()
    second = Server(Recorder(), host="127.0.0.1", port=first.port, shared=True)
    await second.start()
    assert second.port == first.port
    with pytest.raises(ConfigError, match="can't listen"):
        await Server(Recorder(), host="127.0.0.1", port=first.port).start()
    await second.drain(0)
    await first.drain(0)
