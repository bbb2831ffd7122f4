"""Connections to one verified machine: few, checked, and never reused in doubt."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

import ollm.net.pool
from ollm.errors import ChannelRefused, UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.connection import Connection, certified_tls, client_tls, open_connection
from ollm.net.pool import Pool
from ollm.testing.providers.tls import certified
from tests.net.tls_server import Script, TlsServer, mute, saying, tls_server, whole
from tests.stage import eventually

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
OTHER = frozenset(("ab" * 32,))


def pool_of(server: TlsServer, *, size: int = 2, pins: frozenset[str] | None = None, connect_timeout: float = 2.0) -> Pool:
    """A pool of connections to `server`, pinned to its key unless `pins` says otherwise."""
    return Pool(server.origin, frozenset((server.spki,)) if pins is None else pins, client_tls(), size=size, connect_timeout=connect_timeout)


@contextlib.asynccontextmanager
async def pooled(script: Script, *, size: int = 2, connect_timeout: float = 2.0) -> AsyncIterator[tuple[TlsServer, Pool]]:
    async with tls_server(script) as server:
        pool = pool_of(server, size=size, connect_timeout=connect_timeout)
        yield server, pool
        pool.close()


async def exchange(pool: Pool, *, headers_timeout: float = 5, idle_timeout: float = 5) -> bytes:
    connection = await pool.acquire()
    try:
        response = await connection.exchange(GET, b"", headers_timeout=headers_timeout)
        return await response.read_all(1_000_000, idle_timeout)
    finally:
        pool.release(connection)


async def test_a_connection_is_used_again() -> None:
    async with pooled(saying(whole(b"abc"))) as (server, pool):
        assert [await exchange(pool) for _ in range(5)] == [b"abc"] * 5
        assert len(server.connections) == 1


async def test_every_new_connection_is_compared_with_the_pinned_key() -> None:
    async with tls_server(saying(whole(b"abc"))) as server:
        pool = pool_of(server, pins=OTHER)
        for _ in range(3):
            with pytest.raises(ChannelRefused):
                await pool.acquire()
        assert server.requests == []


async def test_any_of_several_pinned_keys_is_good() -> None:
    async with tls_server(saying(whole(b"abc"))) as server, tls_server(saying(whole(b"abc"))) as other:
        pins = frozenset((server.spki, *OTHER))
        for peer, good in ((server, True), (other, False)):
            pool = pool_of(peer, pins=pins)
            if good:
                assert await exchange(pool) == b"abc"
            else:
                with pytest.raises(ChannelRefused) as refused:
                    await pool.acquire()
                assert (refused.value.got, refused.value.want) == (other.spki, " or ".join(sorted(pins)))
            pool.close()
        assert other.requests == []


async def test_a_pool_without_a_single_key_connects_to_nobody() -> None:
    """No key was attested: that is not the same as any key."""
    async with tls_server(saying(whole(b"abc"))) as server:
        pool = pool_of(server, pins=frozenset())
        with pytest.raises(ChannelRefused) as refused:
            await pool.acquire()
        assert (refused.value.want, server.requests) == ("no key at all", [])
        connection = await open_connection(server.origin, client_tls(), timeout=5, pinned=None)
        pool.adopt(connection)
        assert connection.closed


async def test_without_pins_a_certificate_decides() -> None:
    found = certified(SystemClock().now())
    async with tls_server(saying(whole(b"abc")), identity=found.identity) as server:
        good = Pool(server.origin, None, certified_tls(found.ca), size=1, connect_timeout=2)
        assert await exchange(good) == b"abc"
        good.close()
        adopted = Pool(server.origin, None, certified_tls(found.ca), size=1, connect_timeout=2)
        connection = await open_connection(server.origin, certified_tls(found.ca), timeout=5, pinned=None)
        adopted.adopt(connection)
        assert await adopted.acquire() is connection
        connection.abort("close", "done")
        asked = len(server.requests)
        for tls in (certified_tls(), certified_tls(certified(SystemClock().now()).ca)):
            pool = Pool(server.origin, None, tls, size=1, connect_timeout=2)
            with pytest.raises(UpstreamError) as refused:
                await pool.acquire()
            assert (refused.value.phase, refused.value.reason) == ("connect", "SSLCertVerificationError")
        assert len(server.requests) == asked


async def test_a_server_that_changes_its_key_is_seen_on_the_next_connection() -> None:
    async with tls_server(saying(whole(b"abc"))) as server:
        pool = pool_of(server)
        assert await exchange(pool) == b"abc"
        port = server.port
    await asyncio.sleep(0.05)  # the end of the old connection is on its way
    async with tls_server(saying(whole(b"abc")), port=port) as other:
        with pytest.raises(ChannelRefused) as refused:
            await exchange(pool)
        assert refused.value.got == other.spki
        assert other.requests == []


async def test_the_evidences_own_connection_is_taken_over_when_its_key_is_the_pinned_one() -> None:
    async with tls_server(saying(whole(b"abc"))) as server:
        connections = [await open_connection(server.origin, client_tls(), timeout=5, pinned=None) for _ in range(2)]
        pool, foreign = pool_of(server), pool_of(server, pins=OTHER)
        pool.adopt(connections[0])
        foreign.adopt(connections[1])
        assert connections[1].closed
        assert await pool.acquire() is connections[0]
        pool.release(connections[0])
        pool.close()


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with pooled(saying(whole(b"abc"))) as (server, pool):
        assert await exchange(pool) == b"abc"
        server.connections[0].transport.abort()
        await asyncio.sleep(0.05)
        assert await exchange(pool) == b"abc"
        await eventually(lambda: len(server.connections) == 2)


async def test_a_connection_that_was_left_in_the_middle_is_cut() -> None:
    async with pooled(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")) as (server, pool):
        connection = await pool.acquire()
        response = await connection.exchange(GET, b"", headers_timeout=5)
        assert await response.read(5) == b"abc"
        pool.release(connection)
        await eventually(lambda: server.left == 1, 1)


async def test_there_are_never_more_than_allowed_and_who_waits_gets_its_turn_in_order() -> None:
    async with pooled(saying(whole(b"abc"))) as (server, pool):
        held = [await pool.acquire() for _ in range(2)]
        order: list[int] = []

        async def later(number: int) -> None:
            connection = await pool.acquire()
            order.append(number)
            await connection.exchange(GET, b"", headers_timeout=5)
            pool.release(connection)

        tasks = [asyncio.create_task(later(number)) for number in range(5)]
        await asyncio.sleep(0.05)
        assert order == []
        for connection in held:
            response = await connection.exchange(GET, b"", headers_timeout=5)
            await response.read_all(100, 5)
            pool.release(connection)
        await asyncio.gather(*tasks)
        assert order == sorted(order)
        assert max(len(server.connections), 2) <= 2 + 5  # those after an early release are made anew, one at a time


async def test_who_comes_later_does_not_go_first() -> None:
    """One connection, and somebody who asks for it again as soon as it is given back: the one who waits gets it all the same."""
    async with pooled(saying(whole(b"abc")), size=1, connect_timeout=5.0) as (server, pool):
        await exchange(pool)
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        await (await held.exchange(GET, b"", headers_timeout=5)).read_all(100, 5)

        async def once_more() -> Connection:
            pool.release(held)
            return await pool.acquire()

        again = asyncio.create_task(once_more())
        assert await asyncio.wait_for(waiting, 1) is held
        assert not again.done()
        pool.release(held)
        pool.release(await asyncio.wait_for(again, 1))
        await eventually(lambda: len(server.connections) == 2)


async def test_a_connection_that_dies_on_its_way_to_who_waits_is_made_anew() -> None:
    async with pooled(saying(whole(b"abc")), size=1) as (server, pool):
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        await (await held.exchange(GET, b"", headers_timeout=5)).read_all(100, 5)
        pool.release(held)
        held.abort("close", "the server ended it")
        fresh = await asyncio.wait_for(waiting, 2)
        assert fresh is not held
        pool.release(fresh)
        assert await exchange(pool) == b"abc"
        assert len(server.connections) == 3


@pytest.mark.parametrize("reusable", [True, False])
async def test_a_turn_that_comes_as_the_time_is_over_is_not_lost(reusable: bool) -> None:
    async with pooled(saying(whole(b"abc")), size=1) as (_, pool):
        for _ in range(20):
            held = await pool.acquire()
            if reusable:
                await (await held.exchange(GET, b"", headers_timeout=5)).read_all(100, 5)
            leaving, next_one = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            pool.release(held)
            leaving.cancel()
            pool.release(await asyncio.wait_for(next_one, 1))
            with pytest.raises(asyncio.CancelledError):
                await leaving


async def test_who_waits_too_long_is_told() -> None:
    async with pooled(mute, size=1, connect_timeout=0.2) as (_, pool):
        held = await pool.acquire()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(UpstreamError, match="no free connection"):
            await pool.acquire()
        assert 0.15 < loop.time() - begun < 1
        pool.release(held)


async def test_a_turn_that_is_not_taken_goes_to_the_next_in_line() -> None:
    """One waits, is called and leaves in the same moment; the one behind it must not wait for a release that never comes."""
    async with pooled(saying(whole(b"abc")), size=1, connect_timeout=2.0) as (_, pool):
        held = await pool.acquire()
        first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        pool.release(held)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        pool.release(await asyncio.wait_for(second, 1))


async def test_one_that_fails_to_connect_lets_the_next_try() -> None:
    async with tls_server(mute) as server:
        pool = pool_of(server, size=1, pins=OTHER)
        results = await asyncio.gather(*(pool.acquire() for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ChannelRefused] * 3


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.net.pool, "_SWEEP_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("script", "limits", "phase"),
    [
        pytest.param(mute, {"headers_timeout": 0.1}, "headers", id="headers"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), {"idle_timeout": 0.1}, "first_byte", id="first byte"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), {"idle_timeout": 0.1}, "stream", id="between reads"),
    ],
)
async def test_the_sweeper_ends_a_phase_that_takes_too_long(script: Script, limits: dict[str, float], phase: str) -> None:
    async with pooled(script) as (server, pool):
        with pytest.raises(UpstreamError) as failure:
            await exchange(pool, **limits)
        assert (failure.value.phase, failure.value.reason) == (phase, "timed out")
        await eventually(lambda: server.left == 1, 1)


@pytest.mark.usefixtures("quick")
async def test_idle_connections_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.net.pool, "_MAX_IDLE_SECONDS", 0.1)
    async with pooled(saying(whole(b"abc"))) as (server, pool):
        await exchange(pool)
        await eventually(lambda: server.left == 1, 1)
        await exchange(pool)
        await eventually(lambda: len(server.connections) == 2)


async def test_a_closed_pool_lets_running_exchanges_finish_and_starts_none() -> None:
    go_on = asyncio.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(whole(b"abc"))

    async with pooled(held) as (server, pool):
        running = asyncio.create_task(exchange(pool))
        await eventually(lambda: server.requests)
        pool.close()
        with pytest.raises(UpstreamError, match="ended"):
            await pool.acquire()
        go_on.set()
        assert await running == b"abc"
        await eventually(lambda: server.left == 1)


async def test_who_waits_at_a_pool_that_closes_is_told_at_once() -> None:
    async with pooled(mute, size=1) as (_, pool):
        held: Connection = await pool.acquire()
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await asyncio.sleep(0.01)
        pool.close()
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
        assert all(isinstance(result, UpstreamError) and result.phase == "connect" for result in results)
        pool.release(held)
        assert held.closed


async def test_a_late_connection_is_not_adopted_by_a_closed_pool() -> None:
    async with tls_server(mute) as server:
        pool = pool_of(server)
        connection = await open_connection(server.origin, client_tls(), timeout=5, pinned=None)
        pool.close()
        pool.adopt(connection)
        assert connection.closed
