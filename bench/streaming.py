"""A client of few lines for what wrk can't do: streams whose pieces are timed, clients that leave, and connections that are slow on purpose."""

import asyncio
import re
import ssl
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.load import PATH, Target
from bench.procs import BenchError

_END = b"\r\n0\r\n\r\n"  # of a chunked body


class Refused(BenchError):
    """Another status than 200."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(f"a stream was answered with {status} {code}".rstrip())
        self.code = code


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(target: Target) -> Connection:
    url = urlsplit(target.origin)
    context = None
    if url.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the model server asked directly, on loopback
    return await asyncio.open_connection("127.0.0.1", url.port, ssl=context, limit=1 << 20)


def head_of(target: Target, length: int) -> bytes:
    """The head of a chat request with a body of `length` bytes."""
    lines = f"POST {PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nauthorization: Bearer {target.key}\r\n"
    return f"{lines}content-length: {length}\r\n\r\n".encode()


@dataclass
class Timed:
    """One stream. Seconds: `first` from the request to the first event, `gaps` between events; those that came in one read have none between them."""

    first: float = 0.0
    gaps: list[float] = field(default_factory=list)
    events: int = 0


async def stream(connection: Connection, request: bytes, *, leave_after: int | None = None) -> Timed:
    """Send `request` and read its stream to the end, or until `leave_after` events came. Raises: BenchError for another answer."""
    reader, writer = connection
    timed = Timed()
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        code = re.search(rb'"code":"([a-z_]+)"', await reader.read(4096))
        raise Refused(head[9:12].decode("latin-1"), code[1].decode() if code else "")
    before, tail = began, b""
    while not tail.endswith(_END):
        data = await reader.read(65_536)
        if not data:
            raise BenchError("a stream broke off")
        now, count = time.perf_counter(), data.count(b"data: ")
        if count:
            if timed.events:
                timed.gaps.append(now - before)
            else:
                timed.first = now - began
            timed.gaps += [0.0] * (count - 1)
            timed.events += count
            before = now
        if leave_after is not None and timed.events >= leave_after:
            break
        tail = (tail + data)[-len(_END) :]
    return timed


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of `values` don't exceed; of none, NaN."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line through `points` by least squares. Raises: statistics.StatisticsError for fewer than two."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
