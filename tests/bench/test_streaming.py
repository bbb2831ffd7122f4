"""Streams are timed event by event, and one that breaks off is none."""

import asyncio
import contextlib
import math
import statistics
from collections.abc import AsyncIterator, Sequence

import pytest

from bench.latency import Delays, delays, row
from bench.load import Target
from bench.procs import BenchError
from bench.streaming import Timed, connect, head_of, percentile, slope, stream

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: a\n\n\r\n"
END = b"0\r\n\r\n"


@contextlib.asynccontextmanager
async def saying(parts: Sequence[bytes], pause: float = 0.02) -> AsyncIterator[Target]:
    """A server that answers with `parts`, `pause` seconds apart, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            pass  # the client left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target("it", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "sk", None)


async def asked(target: Target, *, leave_after: int | None = None) -> Timed:
    connection = await connect(target)
    try:
        return await stream(connection, head_of(target, 0), leave_after=leave_after)
    finally:
        connection[1].close()
        with contextlib.suppress(ConnectionError):
            await connection[1].wait_closed()


async def test_first_event_and_gaps_are_timed() -> None:
    async with saying([HEAD, EVENT, EVENT + EVENT, END]) as target:
        timed = await asked(target)
    assert (timed.events, len(timed.gaps), timed.gaps[1]) == (3, 2, 0.0)
    assert timed.first > 0.01 and timed.gaps[0] > 0.01


async def test_a_client_can_leave_in_the_middle() -> None:
    async with saying([HEAD, *[EVENT] * 50, END], pause=0.001) as target:
        assert 2 <= (await asked(target, leave_after=2)).events < 50


@pytest.mark.parametrize("parts", [[HEAD, EVENT], [b"HTTP/1.1 502 Bad Gateway\r\n\r\n"]], ids=["cut", "an error"])
async def test_what_is_no_whole_stream_is_told(parts: list[bytes]) -> None:
    async with saying(parts) as target:
        with pytest.raises(BenchError):
            await asked(target)


def test_percentiles() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (51.0, 100.0, 7.0)
    assert math.isnan(percentile([], 0.5))


def test_the_slope_of_a_line() -> None:
    assert slope([(0, 5), (1, 7), (2, 9)]) == pytest.approx(2)
    with pytest.raises(statistics.StatisticsError):
        slope([(0, 5)])


def test_what_is_added_is_the_difference_to_the_model_server() -> None:
    direct = delays([Timed(first=0.001, gaps=[0.020, 0.020])])
    mine = delays([Timed(first=0.003, gaps=[0.021, 0.020])])
    assert direct == Delays(1.0, 1.0, 20.0, 20.0)
    assert row("direct", direct, direct)[1:3] == ("1.00", "-")
    assert row("ours", mine, direct) == ("ours", "3.00", "+2.00", "3.00", "+2.00", "21.00", "+1.00", "21.00", "+1.00")
    assert row("ours", mine, None)[2] == "-"
