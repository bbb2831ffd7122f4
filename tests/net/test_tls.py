"""TLS over OpenSSL's memory buffers: whatever the peer sends and however the network cuts it, whole records' bytes or a closed connection."""

import asyncio
import contextlib
import gc
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.connection import certified_tls, client_tls, open_connection
from ollm.net.tls import TlsTransport, connect
from ollm.testing.providers.tls import certified
from tests.net.tls_peer import ALERT, CLOSE_NOTIFY, DATA, HANDSHAKE, HANDSHAKE_FAILURE, Line, Peer, listening, narrow, peer_context, ticket
from tests.net.tls_server import mute, saying, tls_server, whole
from tests.stage import eventually

LARGE = bytes(range(256)) * 8_000  # 2 MB: more than the buffers of both ends, see `narrow`


class Above(asyncio.Protocol):
    """The protocol above TLS: keeps what it is told."""

    def __init__(self) -> None:
        self.transport: TlsTransport
        self.made = 0
        self.heard: list[bytes] = []
        self.paused: list[bool] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport
        self.made += 1

    def data_received(self, data: bytes) -> None:
        assert self.made == 1
        assert not self.lost.done()
        self.heard.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    def pause_writing(self) -> None:
        self.paused.append(True)

    def resume_writing(self) -> None:
        self.paused.append(False)

    @property
    def text(self) -> bytes:
        return b"".join(self.heard)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return peer_context(tmp_path_factory.mktemp("peer"))


@contextlib.asynccontextmanager
async def lines_of(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[Line]]]:
    """The port of a peer, and the lines to whoever has connected."""
    lines: list[Line] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(Peer(context), reader, writer)
        lines.append(line)
        await line.listen()

    async with listening(serve) as port:
        yield port, lines


@contextlib.asynccontextmanager
async def connected(context: ssl.SSLContext) -> AsyncIterator[tuple[Above, Line]]:
    """A client, and the line to it from the other end; the handshake is over."""
    async with lines_of(context) as (port, lines):
        above = Above()
        await connect(above, client_tls(), "127.0.0.1", port, timeout=5)
        narrow(above.transport)
        line = lines[0]
        await eventually(lambda: line.peer.shaken)
        try:
            yield above, line
        finally:
            above.transport.abort()
            line.resume()
            async with asyncio.timeout(5):
                await line.left.wait()
                await above.lost


def complaints_of_this_loop() -> list[dict[str, Any]]:
    """What it is told from now on that nobody caught."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def ended(above: Above, line: Line) -> None:
    """Wait until both ends know."""
    async with asyncio.timeout(5):
        assert await above.lost is None
        await line.left.wait()


# The open connection


async def test_the_protocol_above_speaks_once_the_handshake_is_over(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        above.transport.write(b"one, ")
        above.transport.write(memoryview(b"two, "))
        above.transport.write(b"")
        above.transport.write(bytearray(b"three"))
        await eventually(lambda: line.peer.heard == b"one, two, three")
        line.say(line.peer.records.record(b"an answer"))
        await eventually(lambda: above.heard == [b"an answer"])
        assert above.made == 1
        tls_object = above.transport.get_extra_info("ssl_object")
        assert isinstance(tls_object, ssl.SSLObject)
        assert (tls_object.version(), tls_object.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        assert above.transport.get_extra_info("peername") == line.writer.get_extra_info("sockname")
        assert above.transport.get_extra_info("nothing", "of this name") == "of this name"
        assert not above.transport.is_closing()


async def test_records_that_come_together_are_given_together(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        records = line.peer.records
        line.say(records.record(b"a"), records.record(b""), records.record(b"b" * 16_384), records.record(b"c"))
        await eventually(lambda: len(above.text) == 16_386)
        assert above.text == b"a" + b"b" * 16_384 + b"c"
        assert len(above.heard) < 3
        assert b"" not in above.heard


async def test_a_writer_is_paused_until_the_peer_reads(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        line.pause()
        for at in range(0, len(LARGE), 250_000):
            above.transport.write(memoryview(LARGE)[at : at + 250_000])
        assert above.paused == [True]
        line.resume()
        await eventually(lambda: len(line.peer.heard) == len(LARGE))
        assert line.peer.heard == LARGE
        assert above.paused == [True, False]


async def test_one_write_is_whole_whatever_its_size(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        above.transport.write(LARGE)
        above.transport.write(b"end")
        await eventually(lambda: len(line.peer.heard) == len(LARGE) + 3)
        assert line.peer.heard == LARGE + b"end"


async def test_a_reader_that_pauses_gets_what_was_read_and_the_rest_once_it_reads_on(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        above.transport.pause_reading()
        line.say(*(line.peer.records.record(LARGE[at : at + 16_384]) for at in range(0, len(LARGE), 16_384)))
        await asyncio.sleep(0.05)
        assert len(above.text) <= 256 * 1024  # one read of the loop's, where it was under way
        assert line.writer.transport.get_write_buffer_size() > 0
        above.transport.resume_reading()
        await eventually(lambda: len(above.text) == len(LARGE))
        assert above.text == LARGE


async def test_large_bodies_pass_both_ways_through_a_connection() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(server.requests[-1].partition(b"\r\n\r\n")[2]))
        await writer.drain()

    async with tls_server(echo) as server:
        connection = await open_connection(server.origin, client_tls(), timeout=5, pinned=None)
        for body in (LARGE, b"small", LARGE[:300_000]):
            head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            response = await connection.exchange(head, body, headers_timeout=5)
            assert await response.read_all(len(LARGE), 5) == body
            assert connection.finished()
        connection.abort("close", "done")


# Messages of TLS itself


@pytest.mark.parametrize("asked", [False, True])
async def test_new_keys_are_taken_and_given_when_asked_for(asked: bool, context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        for number in range(3):
            records = line.peer.records
            line.say(records.record(b"%d" % number), records.key_update(asked), records.record(b","))
            await eventually(lambda: above.text.endswith(b"%d," % number))  # noqa: B023  # waited for within the loop
            above.transport.write(b"%d;" % number)
        await eventually(lambda: line.peer.heard == b"0;1;2;")
        assert above.text == b"0,1,2,"
        assert line.peer.alert == ""


async def test_tickets_are_none_of_the_protocols_above(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        records = line.peer.records
        line.say(records.record(ticket() + ticket(), HANDSHAKE), records.record(b"a"), records.record(ticket(), HANDSHAKE))
        await eventually(lambda: above.heard)
        above.transport.write(b"b")
        await eventually(lambda: line.peer.heard == b"b")
        assert above.heard == [b"a"]


async def test_half_a_message_of_tls_itself_waits_for_its_other_half(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        records, message = line.peer.records, ticket(200)
        line.say(records.record(message[:100], HANDSHAKE))
        line.say(records.record(message[100:], HANDSHAKE), records.record(b"a"))
        await eventually(lambda: above.heard == [b"a"])


async def test_a_write_within_a_message_of_tls_itself_ends_the_connection(context: ssl.SSLContext) -> None:
    """OpenSSL wants the other half first; nothing of the write has left, so nothing was lost that could not be sent anew."""
    async with connected(context) as (above, line):
        seen = len(line.peer.heard)
        line.say(line.peer.records.record(b"a"), line.peer.records.record(ticket(200)[:100], HANDSHAKE))
        await eventually(lambda: above.heard == [b"a"])
        above.transport.write(b"b")
        assert above.transport.is_closing()
        await ended(above, line)
        assert len(line.peer.heard) == seen


@pytest.mark.parametrize(("unread", "given_up"), [(300_000, False), (len(LARGE), True)])
async def test_a_peer_that_asks_for_answers_of_tls_and_reads_none_is_given_up(unread: int, given_up: bool, context: ssl.SSLContext) -> None:
    """Its answers would pile up here; a large body on its way up is no reason yet."""
    async with connected(context) as (above, line):
        line.pause()
        above.transport.write(LARGE[:unread])
        records = line.peer.records
        line.say(records.key_update(asked=True), records.key_update(asked=True), records.record(b"a"))
        await eventually(lambda: above.heard == [b"a"])
        assert above.transport.is_closing() is given_up
        line.resume()
        await eventually(lambda: above.lost.done() if given_up else len(line.peer.heard) == unread)


# Ends


async def test_close_notify_ends_the_connection_behind_the_data_and_is_answered(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        records = line.peer.records
        line.say(records.record(b"the last"), records.record(CLOSE_NOTIFY, ALERT), records.record(b"nothing"))
        await ended(above, line)
        assert above.heard == [b"the last"]
        assert line.peer.ended
        above.transport.write(b"nobody reads this")
        above.transport.write(LARGE)
        above.transport.abort()


async def test_what_the_protocol_writes_of_the_last_data_is_dropped_without_a_complaint(context: ssl.SSLContext) -> None:
    complaints = complaints_of_this_loop()
    async with connected(context) as (above, line):
        above.data_received = lambda data: above.transport.write(data)  # type: ignore[method-assign]
        line.say(line.peer.records.record(b"the last"), line.peer.records.record(CLOSE_NOTIFY, ALERT))
        await ended(above, line)
    assert complaints == []


async def test_an_end_does_not_wait_for_what_the_peer_does_not_read(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        line.pause()
        above.transport.write(LARGE * 3)
        await eventually(lambda: above.paused == [True])
        line.say(line.peer.records.record(CLOSE_NOTIFY, ALERT))
        async with asyncio.timeout(5):
            assert await above.lost is None
        line.resume()


@pytest.mark.parametrize("cut", [1, 4, 5, 20, -1])
async def test_a_record_that_is_cut_off_is_never_given(cut: int, context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        records = line.peer.records
        line.say(records.record(b"whole"), records.record(b"cut off in the middle")[:cut])
        line.writer.write_eof()
        await ended(above, line)
        assert above.text == b"whole"


def flipped(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])


@pytest.mark.parametrize(
    ("spoil", "alert"),
    [
        (flipped, "SSLV3_ALERT_BAD_RECORD_MAC"),
        (lambda record: b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLSV1_ALERT_PROTOCOL_VERSION"),
        (lambda record: b"\x17\x03\x03\xff\xff" + record, "TLSV1_ALERT_RECORD_OVERFLOW"),
    ],
    ids=["a broken tag", "no TLS", "too long"],
)
async def test_garbage_ends_the_connection_and_the_peer_is_told_why(spoil: Callable[[bytes], bytes], alert: str, context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        line.say(line.peer.records.record(b"good"), spoil(line.peer.records.record(b"spoilt")))
        await ended(above, line)
        assert above.text == b"good"
        assert line.peer.alert == alert


async def test_an_alert_of_the_peer_ends_the_connection(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        line.say(line.peer.records.record(b"good"), line.peer.records.record(HANDSHAKE_FAILURE, ALERT))
        await ended(above, line)
        assert above.heard == [b"good"]


async def test_a_reset_is_told_as_one(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        above.transport.write(b"unread")
        line.pause()
        await asyncio.sleep(0.02)
        line.writer.transport.abort()
        async with asyncio.timeout(5):
            assert isinstance(await above.lost, ConnectionResetError | None)


async def test_abort_drops_what_has_not_left(context: ssl.SSLContext) -> None:
    async with connected(context) as (above, line):
        above.transport.write(b"never sent")
        above.transport.abort()
        assert above.transport.is_closing()
        above.transport.write(b"nor this")
        await ended(above, line)
        assert line.peer.heard == b""


# The handshake


async def refused(context: ssl.SSLContext, port: int, timeout: float = 5) -> str:
    """Why there is no connection; nobody has met a transport then, and nothing is left to be told later."""
    complaints, above = complaints_of_this_loop(), Above()
    with pytest.raises(UpstreamError) as failure:
        await connect(above, context, "127.0.0.1", port, timeout=timeout)
    assert failure.value.phase == "connect"
    assert (above.made, above.lost.done()) == (0, False)
    await asyncio.sleep(0.01)
    gc.collect()
    assert complaints == []
    return failure.value.reason


async def test_a_peer_of_tls_1_2_alone_is_refused(context: ssl.SSLContext) -> None:
    old = certified(SystemClock().now()).identity.context()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.keylog_filename = context.keylog_filename
    async with lines_of(old) as (port, lines):
        assert await refused(client_tls(), port) == "SSLError"
        await lines[0].left.wait()
        assert lines[0].peer.alert == "UNSUPPORTED_PROTOCOL"
    async with tls_server(saying(), version=ssl.TLSVersion.TLSv1_2) as server:  # asyncio's leaves without an alert
        assert await refused(client_tls(), server.port) in {"SSLError", "ConnectionResetError"}


@pytest.mark.parametrize(
    ("host", "alert"), [("provider.test", "SSLV3_ALERT_BAD_CERTIFICATE"), (None, "TLSV1_ALERT_UNKNOWN_CA")], ids=["another name", "nobody's"]
)
async def test_a_certificate_that_does_not_hold_is_refused_and_the_peer_is_told(host: str | None, alert: str, context: ssl.SSLContext) -> None:
    found = certified(SystemClock().now(), host or "127.0.0.1")
    server = context
    if host is not None:
        server = found.identity.context()
        server.keylog_filename = context.keylog_filename
    async with lines_of(server) as (port, lines):
        assert await refused(certified_tls(found.ca), port) == "SSLCertVerificationError"
        await lines[0].left.wait()
        assert lines[0].peer.alert == alert


def answering(answer: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Say this to the first message, and end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "SSLError"),
        (b"\x15\x03\x03\x00\x02" + HANDSHAKE_FAILURE, "SSLError"),
        (b"\x17\x03\x03\x00\x20" + bytes(32), "SSLError"),
        (b"", "ConnectionResetError"),
        (b"\x16\x03\x03\x00", "ConnectionResetError"),
    ],
    ids=["no TLS", "alert", "data", "nothing", "half"],
)
async def test_an_answer_that_is_no_handshake_is_refused(answer: bytes, reason: str) -> None:
    async with listening(answering(answer)) as port:
        assert await refused(client_tls(), port) == reason


async def test_a_peer_that_resets_in_the_handshake_is_refused() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with listening(serve) as port:
        assert await refused(client_tls(), port) in {"ConnectionResetError", "BrokenPipeError"}


async def test_a_context_that_can_speak_no_version_is_refused() -> None:
    context = client_tls()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
    async with listening(mute) as port:
        assert await refused(context, port) == "SSLError"


@pytest.mark.parametrize("part", [0, 700], ids=["silent", "stuck"])
async def test_a_handshake_that_does_not_end_in_time_leaves_no_socket(part: int, context: ssl.SSLContext) -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(Peer(context).take(await reader.read(65536))[:part])
        assert await reader.read() == b""
        left.set()
        writer.close()

    async with listening(serve) as port:
        assert await refused(client_tls(), port, timeout=0.1) == "timed out"
        async with asyncio.timeout(5):
            await left.wait()


async def test_whoever_is_cancelled_at_any_turn_of_the_handshake_leaves_no_socket_and_no_cycle(context: ssl.SSLContext) -> None:
    complaints, kept = complaints_of_this_loop(), []
    async with lines_of(context) as (port, lines):
        gc.collect()
        gc.disable()
        try:
            for turns in range(12):
                above = Above()
                kept.append(weakref.ref(above))
                task = asyncio.create_task(connect(above, client_tls(), "127.0.0.1", port, timeout=5))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])  # awaiting it would keep the traceback, and with it the frames
                if above.made:
                    if not task.cancelled():
                        above.transport.abort()
                    await above.lost
                    del above.transport
                del above, task
            await eventually(lambda: all(line.left.is_set() for line in lines))
            await eventually(lambda: all(each() is None for each in kept))
        finally:
            gc.enable()
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("good", [True, False])
async def test_nothing_is_left_to_the_collector(good: bool) -> None:
    """A cycle would keep a connection, and whatever hangs on it, until the collector comes."""
    found = certified(SystemClock().now())
    async with tls_server(saying(whole(b"abc")), identity=found.identity) as server:
        gc.collect()
        gc.disable()
        try:
            above = Above()
            if good:
                await connect(above, certified_tls(found.ca), "127.0.0.1", server.port, timeout=5)
                above.transport.abort()
                await above.lost
                del above.transport
            else:
                with contextlib.suppress(UpstreamError):
                    await connect(above, certified_tls(certified(SystemClock().now()).ca), "127.0.0.1", server.port, timeout=5)
            kept = weakref.ref(above)
            del above
            await eventually(lambda: kept() is None)
        finally:
            gc.enable()


# Any split


class Wire(asyncio.Transport):
    """A raw transport in memory: what is written is kept for the peer."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def taken(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


_said = st.one_of(
    st.tuples(st.just(DATA), st.integers(0, 40) | st.sampled_from([16_383, 16_384])),
    st.tuples(st.sampled_from(["ticket", "half a ticket", "keys", "keys of both"]), st.just(0)),
)


def spoken(peer: Peer, what: list[tuple[int | str, int]]) -> tuple[bytes, bytes]:
    """The records of `what` and a close_notify; the plaintext in them."""
    records, raw, text = peer.records, [], b""
    for number, (kind, size) in enumerate(what):
        if kind == DATA:
            part = bytes([number]) * size
            text += part
            raw.append(records.record(part))
        elif kind == "half a ticket":
            raw += [records.record(ticket()[:9], HANDSHAKE), records.record(ticket()[9:], HANDSHAKE)]
        elif kind == "ticket":
            raw.append(records.record(ticket(), HANDSHAKE))
        else:
            raw.append(records.key_update(asked=kind == "keys of both"))
    return b"".join([*raw, records.record(CLOSE_NOTIFY, ALERT)]), text


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[start:end] for start, end in pairwise(marks)]


_cuts = st.lists(st.integers(0, 60_000), max_size=12) | st.just(list(range(400)))


@given(first=_cuts, later=_cuts, what=st.lists(_said, max_size=8))
def test_any_split_of_the_peers_bytes_gives_the_same_data(
    first: list[int], later: list[int], what: list[tuple[int | str, int]], context: ssl.SSLContext
) -> None:
    async def play() -> None:
        peer, wire, above = Peer(context), Wire(), Above()
        channel = TlsTransport(asyncio.get_running_loop(), above, client_tls(), "127.0.0.1")
        channel.connection_made(wire)
        hello = wire.taken()
        for piece in pieces(peer.take(hello), first):
            assert above.made == 0
            channel.data_received(piece)
        assert channel.established.result() == ""
        peer.take(wire.taken())
        raw, text = spoken(peer, what)
        for piece in pieces(raw, later):
            assert not wire.closed
            channel.data_received(piece)
        assert above.text == text
        assert wire.closed
        peer.take(wire.taken())
        assert (peer.ended, peer.alert) == (True, "")

    with asyncio.Runner() as runner:
        runner.run(play())
