"""`python -m bench.slow`: whether thousands of slow connections hurt a client that isn't slow.

A healthy client's answers are timed alone, then beside slow connections of each kind, then alone again; what is printed is the ratio of the
p99 beside them to the p99 alone, in one run. A slow connection that the gateway closes is opened again.

    headers   a header line each second, and never the end of them
    body      a request without a valid key, and ten bytes of its body each second
    own body  the same with a key: a customer's
    read      a streamed answer that nobody reads, behind a receive buffer of 2 KiB
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from bench.load import PATH, STREAM, WHOLE, Target, check
from bench.procs import BenchError, end_on_signals
from bench.run import talk
from bench.stage import staged
from bench.streaming import connect, head_of, percentile
from bench.table import layout

KINDS = ("headers", "body", "own body", "read")
HEALTHY = 4  # connections of the healthy client
_PACE = 1.0  # seconds between two drops of a slow connection
_OPENING = 200  # connections a second: a burst would measure accept(), not slowness


async def healthy(target: Target, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of each whole answer, and how many were none."""
    request, took, failed = head_of(target, len(WHOLE.body())) + WHOLE.body(), list[float](), 0

    async def one() -> None:
        nonlocal failed
        ends = time.perf_counter() + seconds
        reader, writer = await connect(target)
        while time.perf_counter() < ends:
            began = time.perf_counter()
            writer.write(request)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError, StopIteration):
                head = b""
            if head.startswith(b"HTTP/1.1 200"):
                took.append((time.perf_counter() - began) * 1e3)
            else:
                failed += 1
                writer.close()
                reader, writer = await connect(target)
            await asyncio.sleep(0.005)
        writer.close()

    await asyncio.gather(*(one() for _ in range(HEALTHY)))
    return took, failed


async def drip(target: Target, kind: str) -> None:
    """One slow connection, until the other side ends it. Raises: OSError."""
    with socket.socket() as plain:
        if kind == "read":
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, ("127.0.0.1", int(target.origin.rpartition(":")[2])))
        if kind == "read":
            body = STREAM.body()
            await loop.sock_sendall(plain, head_of(target, len(body)) + body)
            await asyncio.sleep(3600)
        stranger = replace(target, key="sk-ollm-nobody")
        start = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n".encode() if kind == "headers" else head_of(stranger if kind == "body" else target, 1_000_000)
        await loop.sock_sendall(plain, start)
        while True:
            await asyncio.sleep(_PACE)
            await loop.sock_sendall(plain, b"x-more: and more\r\n" if kind == "headers" else b"x" * 10)


async def attack(target: Target, kind: str, count: int) -> None:
    async def hold(number: int) -> None:
        await asyncio.sleep(number / _OPENING)
        while True:
            try:
                await drip(target, kind)
            except OSError:
                await asyncio.sleep(_PACE)

    await asyncio.gather(*(hold(number) for number in range(count)))


def attacker(target: Target, kind: str, count: int, core: int) -> None:
    os.sched_setaffinity(0, {core})
    uvloop.run(attack(target, kind, count))


def open_sockets(pid: int) -> int:
    """Of the process: files are few beside them."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def beside(target: Target, kind: str, count: int, seconds: float, core: int) -> tuple[list[float], int, int]:
    """The healthy client's figures beside `count` slow connections, and how many of those stood in the middle of it."""
    assert target.process is not None
    plain = replace(target, process=None)
    child = multiprocessing.get_context("spawn").Process(target=attacker, args=(plain, kind, count, core), daemon=True)
    before = open_sockets(target.process.pid)
    child.start()
    try:
        time.sleep(count / _OPENING + 3.0)
        standing = open_sockets(target.process.pid) - before
        took, failed = uvloop.run(healthy(target, seconds))
    finally:
        child.kill()
        child.join()
    time.sleep(3.0)
    return took, failed, standing


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    options = parser.parse_args(arguments)
    end_on_signals()
    table = [("", "standing", "answers", "failed", "p50 ms", "p99 ms", "p99 ÷ alone")]
    worst = 0.0
    try:
        with staged(("process",), talk) as stage:
            target = stage.targets["process"]
            check(target, WHOLE)
            uvloop.run(healthy(target, 2.0))
            for kind in KINDS:
                talk(f"{options.connections} slow connections: {kind}")
                first, _ = uvloop.run(healthy(target, options.seconds / 2))
                took, failed, standing = beside(target, kind, options.connections, options.seconds, stage.cores.load)
                last, _ = uvloop.run(healthy(target, options.seconds / 2))
                alone = percentile([*first, *last], 0.99)
                ratio = percentile(took, 0.99) / alone
                worst = max(worst, ratio if not failed else float("inf"))
                table.append(("alone", "-", f"{len(first) + len(last):,}", "0", f"{percentile([*first, *last], 0.5):.2f}", f"{alone:.2f}", ""))
                figures = (f"{standing:,}", f"{len(took):,}", f"{failed:,}", f"{percentile(took, 0.5):.2f}", f"{percentile(took, 0.99):.2f}")
                table.append((f"beside slow {kind}", *figures, f"{ratio:.2f}"))
    except BenchError as problem:
        talk(f"failed: {problem}")
        return 1
    sys.stdout.write(f"\na healthy client beside {options.connections:,} slow connections\n\n{layout(table)}\n")
    return 0 if worst < 2.0 else 1


if __name__ == "__main__":
    sys.exit(main())
