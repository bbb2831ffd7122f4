"""One connection to one known key: framing in every wrong way, and never a byte in doubt."""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives import serialization

from ollm.errors import UNANSWERED, ChannelRefused, UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.connection import Connection, Origin, _spki, certified_tls, client_tls, open_connection
from ollm.sim.identity import create_tls, spki_sha256
from ollm.testing.providers.tls import certified
from tests.net.tls_server import Script, TlsServer, mute, saying, tls_server, whole
from tests.stage import eventually

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def connected(server: TlsServer, *pinned: str) -> Connection:
    """A connection to `server`; with `pinned`, one of these must be its key."""
    return await open_connection(server.origin, client_tls(), timeout=5, pinned=frozenset(pinned) or None)


@contextlib.asynccontextmanager
async def connection_to(script: Script) -> AsyncIterator[tuple[TlsServer, Connection]]:
    async with tls_server(script) as server:
        connection = await connected(server)
        yield server, connection
        connection.abort("close", "test is over")


async def body_of(connection: Connection, request: bytes = GET) -> bytes:
    response = await connection.exchange(request, b"", headers_timeout=5)
    return await response.read_all(1_000_000, 5)


# The peer


async def test_the_peers_key_is_read_from_this_connection() -> None:
    async with tls_server(saying(whole(b""))) as one, tls_server(saying(whole(b""))) as other:
        connections = [await connected(server) for server in (one, other)]
        assert [connection.peer_spki for connection in connections] == [one.spki, other.spki]
        for connection in connections:
            connection.abort("close", "done")


async def test_another_key_than_the_pinned_one_gets_a_handshake_and_nothing_else() -> None:
    async with tls_server(saying(whole(b""))) as server:
        with pytest.raises(ChannelRefused) as refused:
            await connected(server, "ab" * 32)
        assert (refused.value.got, refused.value.want) == (server.spki, "ab" * 32)
        await asyncio.sleep(0.1)
        assert server.requests == []


async def test_the_pinned_key_is_accepted_on_every_connection_anew_without_resumption() -> None:
    async with tls_server(saying(whole(b"")), tickets=2) as server:
        for _ in range(3):
            connection = await connected(server, server.spki)
            assert await body_of(connection) == b""
            connection.abort("close", "done")
        assert server.resumed == [False] * 3


async def test_a_resumed_tls_session_is_refused() -> None:
    """A resumed session shows no certificate of its own: whoever holds the ticket's key could be at the other end."""
    tls = client_tls()
    kept: list[ssl.SSLSession] = []

    class Resuming(ssl.SSLContext):
        def wrap_bio(self, *args: object, **kwargs: object) -> ssl.SSLObject:
            kwargs["session"] = kept[0] if kept else None
            return super().wrap_bio(*args, **kwargs)  # type: ignore[arg-type]  # as asyncio calls it

    context = Resuming(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = tls.check_hostname, tls.verify_mode
    async with tls_server(saying(whole(b"")), tickets=2) as server:
        first = await open_connection(server.origin, context, timeout=5, pinned=frozenset((server.spki,)))
        await body_of(first)
        transport = first._transport
        assert transport is not None
        kept.append(transport.get_extra_info("ssl_object").session)
        first.abort("close", "done")
        with pytest.raises(ChannelRefused, match="resumed"):
            await open_connection(server.origin, context, timeout=5, pinned=frozenset((server.spki,)))
        assert len(server.requests) == 1


def test_the_context_speaks_tls_1_3_alone_and_asks_for_no_tickets() -> None:
    context = client_tls()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.options & ssl.OP_NO_TICKET


async def test_a_server_of_tls_1_2_is_not_connected_to() -> None:
    async with tls_server(saying(whole(b"")), version=ssl.TLSVersion.TLSv1_2) as server:
        with pytest.raises(UpstreamError) as refused:
            await connected(server)
        assert refused.value.phase == "connect"


def test_the_context_for_certified_peers_looks_at_name_and_issuer() -> None:
    context = certified_tls()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_TICKET
    only = certified_tls(certified(SystemClock().now()).ca)
    assert len(only.get_ca_certs()) == 1, "no public authority beside the one that was named"


@pytest.mark.parametrize(("host", "good"), [("127.0.0.1", True), ("provider.test", False)])
async def test_a_certificate_must_be_for_the_name_that_is_connected_to(host: str, good: bool) -> None:
    found = certified(SystemClock().now(), host)
    async with tls_server(saying(whole(b"abc")), identity=found.identity) as server:
        if good:
            connection = await open_connection(server.origin, certified_tls(found.ca), timeout=5, pinned=None)
            assert await body_of(connection) == b"abc"
            connection.abort("close", "done")
            return
        with pytest.raises(UpstreamError) as refused:
            await open_connection(server.origin, certified_tls(found.ca), timeout=5, pinned=None)
        assert (refused.value.phase, refused.value.reason) == ("connect", "SSLCertVerificationError")
        assert server.requests == []


async def test_a_certificate_does_not_make_up_for_another_key() -> None:
    found = certified(SystemClock().now())
    async with tls_server(saying(whole(b"abc")), identity=found.identity) as server:
        with pytest.raises(ChannelRefused):
            await open_connection(server.origin, certified_tls(found.ca), timeout=5, pinned=frozenset(("ab" * 32,)))
        assert server.requests == []


async def test_no_listener_is_a_failure_to_connect() -> None:
    with pytest.raises(UpstreamError) as failure:
        await open_connection(Origin("127.0.0.1", 1), client_tls(), timeout=5, pinned=None)
    assert (failure.value.phase, failure.value.reason) == ("connect", "ConnectionRefusedError")


async def test_a_listener_that_never_shakes_hands_is_given_up() -> None:
    async with contextlib.AsyncExitStack() as exits:
        listener = await asyncio.start_server(mute, "127.0.0.1", 0)
        exits.callback(listener.close)
        with pytest.raises(UpstreamError, match="timed out"):
            await open_connection(Origin("127.0.0.1", listener.sockets[0].getsockname()[1]), client_tls(), timeout=0.2, pinned=None)
        await asyncio.sleep(0.05)  # for the listener to see it


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [("a.example", 443, "https://a.example"), ("a.example", 8443, "https://a.example:8443"), ("::1", 8443, "https://[::1]:8443")],
)
def test_an_origin_has_one_spelling(host: str, port: int, text: str) -> None:
    origin = Origin(host, port)
    assert (origin.text, origin.authority) == (text, text.removeprefix("https://"))


# Answers


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        pytest.param([whole(b"abc")], b"abc", id="length"),
        pytest.param([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", b"2\r\nbc\r\n0\r\n\r\n"], b"abc", id="chunks"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 3\r\n\r\na", b"bc"], b"abc", id="cut anywhere"),
        pytest.param([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", whole(b"abc")], b"abc", id="hints first"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"abc")], b"abc", id="continue first"),
        pytest.param([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", id="no content"),
        pytest.param([whole(b"x" * 500_000)], b"x" * 500_000, id="headers and a large body in one read"),
    ],
)
async def test_a_sound_answer_leaves_the_connection_for_the_next(parts: list[bytes], body: bytes) -> None:
    async with connection_to(saying(*parts)) as (server, connection):
        for _ in range(2):
            assert await body_of(connection) == body
            assert connection.finished()
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="two framings"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", id="negative length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n", id="endless length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", id="no chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", id="cut by the end"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", id="cut between chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nabc", id="ended by closing alone"),
        pytest.param(b"HTTP/2 200\r\n\r\n", id="another version"),
        pytest.param(b"\x00\x01\x02", id="garbage"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_framing_fault_is_an_error_and_the_end_of_the_connection(data: bytes) -> None:
    async with connection_to(saying(data, close=True)) as (_, connection):
        with pytest.raises(UpstreamError):
            await body_of(connection)
        assert not connection.finished()
        assert connection.closed


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([whole(b"abc") + whole(b"injected", "x: y\r\n", "500 No")], id="in the same read"),
        pytest.param([whole(b"abc") + b"HTTP/1.1 100 Continue\r\n\r\n"], id="an interim one"),
        pytest.param([whole(b"abc") + b"garbage"], id="garbage"),
    ],
)
async def test_a_second_response_is_not_mixed_into_the_first_and_ends_the_connection(parts: list[bytes]) -> None:
    async with connection_to(saying(*parts)) as (_, connection):
        response = await connection.exchange(GET, b"", headers_timeout=5)
        assert await response.read_all(1000, 5) == b"abc"
        assert (response.status, response.headers.get(b"x")) == (200, None)
        assert not connection.finished()


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with connection_to(mute) as (server, connection):
        await eventually(lambda: server.connections)
        server.connections[0].write(whole(b"unasked"))
        await eventually(lambda: connection.closed)
        with pytest.raises(UpstreamError):
            await body_of(connection)
        assert server.requests == []


async def test_headers_without_end_are_refused() -> None:
    async with connection_to(saying(b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"a" * 8000 + b"\r\n"] * 40)) as (_, connection):
        with pytest.raises(UpstreamError, match="headers too large"):
            await body_of(connection)


async def test_connection_close_is_obeyed() -> None:
    async with connection_to(saying(whole(b"abc", "connection: close\r\n"))) as (_, connection):
        assert await body_of(connection) == b"abc"
        assert not connection.finished()


async def test_an_answer_larger_than_its_limit_is_cut() -> None:
    async with connection_to(saying(whole(b"x" * 2000))) as (server, connection):
        response = await connection.exchange(GET, b"", headers_timeout=5)
        with pytest.raises(UpstreamError, match="too large"):
            await response.read_all(1000, 5)
        await eventually(lambda: server.left == 1)


async def test_a_reader_that_waits_holds_the_server_back() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while sent < 64 * 1024 * 1024:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536

    async with connection_to(flood) as (_, connection):
        response = await connection.exchange(GET, b"", headers_timeout=5)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert response.buffered < 2 * 1024 * 1024
        assert sent < 32 * 1024 * 1024
        while sent == before:
            assert await response.read(5)


async def test_a_large_request_is_sent_whole_to_a_server_that_reads_slowly() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(b"got it"))

    async with connection_to(slow) as (server, connection):
        body = b"y" * (8 * 1024 * 1024)
        head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
        response = await connection.exchange(head, body, headers_timeout=20)
        assert await response.read_all(100, 5) == b"got it"
        assert server.requests == [head + body]


async def test_one_exchange_at_a_time() -> None:
    async with connection_to(mute) as (_, connection):
        running = asyncio.create_task(body_of(connection))
        await asyncio.sleep(0.05)
        with pytest.raises(UpstreamError, match="not free"):
            await body_of(connection)
        connection.abort("headers", "given up")
        with pytest.raises(UpstreamError, match="given up"):
            await running


async def test_deadlines_are_of_the_provider_and_not_of_the_reader() -> None:
    """While the reader takes its time nothing but the whole exchange's end may fail it."""
    loop = asyncio.get_running_loop()
    async with connection_to(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")) as (_, connection):
        begun = loop.time()
        response = await connection.exchange(GET, b"", headers_timeout=50, total_timeout=500)
        assert await response.read(5) == b"abc"
        assert connection.deadline is not None
        assert connection.deadline >= begun + 500
        waiting = asyncio.create_task(response.read(5))
        await asyncio.sleep(0.01)
        assert connection.deadline < begun + 50
        connection.abort("stream", "timed out")
        with pytest.raises(UpstreamError, match="timed out"):
            await waiting


async def test_a_reader_with_little_patience_loses_nothing_and_prolongs_nothing() -> None:
    loop = asyncio.get_running_loop()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
        await asyncio.sleep(0.15)
        writer.write(b"abc")
        await asyncio.sleep(1)

    async with connection_to(script) as (_, connection):
        response = await connection.exchange(GET, b"", headers_timeout=50)
        begun = loop.time()
        assert await response.next(60, 0.05) is None
        waiting = asyncio.create_task(response.next(60, 5))
        await asyncio.sleep(0)
        assert connection.deadline is not None
        assert connection.deadline <= begun + 60.04, "the silence began with the first look"
        assert await waiting == b"abc"
        assert await response.next(60, 0.05) == b""


async def test_the_first_content_has_a_deadline_until_somebody_says_that_it_is_there() -> None:
    loop = asyncio.get_running_loop()
    async with connection_to(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")) as (_, connection):
        begun = loop.time()
        response = await connection.exchange(GET, b"", headers_timeout=50, first_timeout=20)
        assert await response.read(40) == b"abc"
        assert connection.phase == "first_token"
        waiting = asyncio.create_task(response.read(40))
        await asyncio.sleep(0)
        assert connection.deadline is not None and connection.deadline < begun + 21
        waiting.cancel()
        connection.began()
        waiting = asyncio.create_task(response.read(40))
        await asyncio.sleep(0)
        assert (connection.phase, connection.deadline > begun + 39) == ("stream", True)
        waiting.cancel()


async def test_a_connection_that_ends_without_a_byte_says_so() -> None:
    for said, reason in ((b"", UNANSWERED), (b"HTTP/1.1 2", "connection closed before the answer was complete")):
        async with connection_to(saying(said, close=True)) as (_, connection):
            with pytest.raises(UpstreamError) as caught:
                await body_of(connection)
            assert (caught.value.phase, caught.value.reason) == ("headers", reason)


async def test_the_whole_exchange_ends_before_any_of_its_phases_would() -> None:
    loop = asyncio.get_running_loop()
    async with connection_to(mute) as (_, connection):
        task = asyncio.create_task(connection.exchange(GET, b"", headers_timeout=50, total_timeout=3))
        await asyncio.sleep(0.01)
        assert connection.deadline is not None
        assert connection.deadline <= loop.time() + 3
        connection.abort("headers", "over")
        with pytest.raises(UpstreamError):
            await task


async def test_a_cancelled_exchange_can_be_cut_at_once() -> None:
    async with connection_to(mute) as (server, connection):
        task = asyncio.create_task(body_of(connection))
        await eventually(lambda: server.requests)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        connection.abort(connection.phase, "given up")
        await eventually(lambda: server.left == 1, 1)
        assert not connection.finished()


class Showing:
    """A TLS connection whose peer shows `certificate`."""

    def __init__(self, certificate: bytes | None) -> None:
        self._certificate = certificate

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        assert binary_form
        return self._certificate


P256, NO_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03010b")


def test_a_certificate_that_can_not_be_read_shows_no_key() -> None:
    certificate, _ = create_tls(1_800_000_000)
    der = certificate.public_bytes(serialization.Encoding.DER)
    for shown in (None, b"", b"garbage", der[:-1], der.replace(P256, NO_CURVE)):
        assert shown != der
        assert _spki(Showing(shown)) is None  # type: ignore[arg-type]  # all that is asked of it is the certificate


def test_the_spki_is_that_of_the_certificate() -> None:
    """The digest is over SubjectPublicKeyInfo, not over the certificate: renewing one with the same key changes nothing."""
    certificate, _ = create_tls(1_800_000_000)
    der = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    shown = Showing(certificate.public_bytes(serialization.Encoding.DER))
    assert _spki(shown) == hashlib.sha256(der).hexdigest() == spki_sha256(certificate)  # type: ignore[arg-type]
