"""What one turn writes leaves together and in order, and what one connection does to it never harms another's."""

import asyncio
import contextlib
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from ollm.net.outbox import Outbox, outbox_of


class End(asyncio.Protocol):
    """The near end of a socket pair; `far` is the other, which is read by hand."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.far: socket.socket
        self.paused = False
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # asyncio types this callback by the base class

    def pause_writing(self) -> None:
        self.paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def heard(self) -> bytes:
        """All that arrives until this end closes."""
        loop, parts = asyncio.get_running_loop(), []
        with contextlib.suppress(ConnectionResetError):
            while part := await loop.sock_recv(self.far, 1 << 20):
                parts.append(part)
        return b"".join(parts)

    def arrived(self) -> bytes:
        """What has arrived by now."""
        try:
            return self.far.recv(1 << 20)
        except BlockingIOError:
            return b""


@contextlib.asynccontextmanager
async def ends(count: int) -> AsyncIterator[list[End]]:
    loop, made = asyncio.get_running_loop(), []
    for _ in range(count):
        near, far = socket.socketpair()
        far.setblocking(False)
        _, end = await loop.create_connection(End, sock=near)
        end.far = far
        made.append(end)
    try:
        yield made
    finally:
        for end in made:
            end.transport.abort()
            await end.lost.wait()
            end.far.close()


def box() -> Outbox:
    return outbox_of(asyncio.get_running_loop())


def complaints_of_this_loop() -> list[dict[str, Any]]:
    """What it is told from now on that nobody caught."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_writes_of_one_turn_leave_by_themselves_each_connections_in_order() -> None:
    async with ends(2) as (one, other):
        for number in range(5):
            box().write(one.transport, b"%d" % number)
            box().write(other.transport, b"%d" % -number)
        assert (one.arrived(), other.arrived()) == (b"", b"")
        await turns()
        assert (one.arrived(), other.arrived()) == (b"01234", b"0-1-2-3-4")
        box().write(one.transport, b"the next turn's")
        await turns()
        assert one.arrived() == b"the next turn's"


async def test_whoever_writes_past_the_box_flushes_it_first() -> None:
    async with ends(1) as (end,):
        box().write(end.transport, b"put off, ")
        box().flush()
        end.transport.write(b"direct, ")
        box().write(end.transport, b"put off")
        await turns()
        assert end.arrived() == b"put off, direct, put off"


async def test_large_writes_stay_in_order_among_small_ones() -> None:
    async with ends(1) as (end,):
        parts = [b"a" * 10, b"b" * 100_000, b"c" * 10, b"d" * 70_000, b"e"]
        for part in parts:
            box().write(end.transport, part)
        heard = asyncio.ensure_future(end.heard())
        await turns()
        end.transport.close()
        assert await heard == b"".join(parts)


async def test_a_writer_that_never_waits_is_told_that_the_client_does_not_read() -> None:
    """Within one turn: an answer made of many small parts must not pile up here, out of sight of the transport's marks."""
    async with ends(1) as (end,):
        written = 0
        while not end.paused:
            box().write(end.transport, bytes(1000))
            written += 1000
            assert written < 2_000_000, "nobody was told"


async def test_close_behind_a_flush_loses_nothing() -> None:
    async with ends(2) as (one, other):
        box().write(one.transport, b"the answer")
        box().write(other.transport, b"of somebody else")
        box().flush()
        one.transport.close()
        assert await one.heard() == b"the answer"
        await turns()
        assert other.arrived() == b"of somebody else"


async def test_abort_drops_what_waits_and_nobody_elses() -> None:
    async with ends(2) as (one, other):
        box().write(one.transport, b"dropped")
        box().write(other.transport, b"kept")
        one.transport.abort()
        assert await one.heard() == b""
        await turns()
        assert other.arrived() == b"kept"


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_a_closed_transport_is_never_written_to(size: int) -> None:
    """uvloop's raise RuntimeError then."""
    complaints = complaints_of_this_loop()
    async with ends(2) as (one, other):
        one.transport.abort()
        box().write(one.transport, bytes(size))
        await one.lost.wait()
        await turns()
        box().write(one.transport, bytes(size))
        box().write(other.transport, b"kept")
        await turns()
        assert other.arrived() == b"kept"
    assert complaints == []


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_write_that_fails_ends_its_own_connection_alone(size: int) -> None:
    complaints = complaints_of_this_loop()
    async with ends(3) as (before, broken, behind):
        broken.transport.write_eof()
        for end in (before, broken, behind):
            box().write(end.transport, bytes(size if end is broken else 2))
        await broken.lost.wait()
        await turns()
        assert (before.arrived(), behind.arrived()) == (bytes(2), bytes(2))
    assert [type(each["exception"]) for each in complaints] == [RuntimeError]


async def test_a_loop_has_one_box() -> None:
    assert box() is box()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_each_loop_has_its_own_and_a_loop_that_is_gone_leaves_nothing(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def used() -> Outbox:
        async with ends(1) as (end,):
            box().write(end.transport, b"x")
            await turns()
        return box()

    boxes, loops = [], []
    for _ in range(2):
        loop = new_loop()
        boxes.append(loop.run_until_complete(used()))
        loops.append(weakref.ref(loop))
        loop.close()
        del loop
    assert boxes[0] is not boxes[1]
    gc.collect()
    assert [each() for each in loops] == [None, None]
