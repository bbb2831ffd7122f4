"""`python -m bench.soak`: streams for a long time, of which a fifth is left and a twentieth fails, and what the gateway's memory does.

Prints the slope of its resident set over the run's second half, and its open files before and after. Exit status 0 where the slope is below
`--most`, no file stayed open, and hardly a stream was refused.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.load import STREAM, Target, check
from bench.procs import BenchError, end_on_signals
from bench.run import talk
from bench.stage import staged
from bench.streaming import Connection, Refused, connect, head_of, slope, stream

MIB = 1 << 20
WORKERS = 64
ABORTS, FAILURES = 0.20, 0.05
_SAMPLE_SECONDS = 2.0
_REST_SECONDS = 1.0
RESTED = 0.05  # of all streams, at most
_SETTLED = 45_000  # streams after which glibc's heap was seen to grow no more; what a shorter run's slope says is of it, not of a leak
_IDLE_SECONDS = 25.0  # longer than the gateway keeps connections to providers that carry nothing


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def work(target: Target, chance: random.Random, ends: float, seen: Counter[str]) -> None:
    """One stream after the other, until the time is over."""
    good = head_of(target, len(STREAM.body())) + STREAM.body()
    failing = STREAM.body()[:-1] + b',"fails":true}'
    bad = head_of(target, len(failing)) + failing
    connection = await connect(target)
    while time.perf_counter() < ends:
        draw = chance.random()
        if draw < FAILURES:
            try:
                await stream(connection, bad)
            except BenchError:
                seen["failed"] += 1
        else:
            leaves = draw < FAILURES + ABORTS
            became = ("left" if leaves else "whole") if await served(connection, good, chance.randint(1, 50) if leaves else None) else "rested"
            seen[became] += 1
            if became == "whole":
                continue
        connection[1].transport.abort()
        connection = await connect(target)
    connection[1].close()


async def served(connection: Connection, request: bytes, leave_after: int | None) -> bool:
    """One stream. False: its route is left alone for now, since failures came together, as they do when the machine stood still for a moment."""
    try:
        await stream(connection, request, leave_after=leave_after)
    except Refused as refusal:
        if refusal.code != "upstream_unavailable":
            raise
        await asyncio.sleep(_REST_SECONDS)
        return False
    return True


async def run(target: Target, seconds: float, seed: int) -> tuple[Counter[str], list[tuple[float, float]]]:
    """What became of the streams, and the memory at times (seconds, bytes)."""
    assert target.process is not None
    began, seen, samples = time.perf_counter(), Counter[str](), list[tuple[float, float]]()
    workers = [asyncio.ensure_future(work(target, random.Random(seed + number), began + seconds, seen)) for number in range(WORKERS)]
    while not all(worker.done() for worker in workers):
        await asyncio.sleep(_SAMPLE_SECONDS)
        samples.append((time.perf_counter() - began, resident(target.process.pid)))
    await asyncio.gather(*workers)
    return seen, samples


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--most", type=float, default=8.0, help="MiB an hour that the memory may grow by")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    end_on_signals()
    try:
        with staged(("process",), talk) as stage:
            target = stage.targets["process"]
            check(target, STREAM)
            assert target.process is not None
            uvloop.run(run(target, 5.0, options.seed))  # pools and caches have their size
            time.sleep(_IDLE_SECONDS)
            files = len(os.listdir(f"/proc/{target.process.pid}/fd"))
            talk(f"{options.minutes:g} minutes of streams")
            seen, samples = uvloop.run(run(target, options.minutes * 60, options.seed + WORKERS))
            time.sleep(_IDLE_SECONDS)
            left = len(os.listdir(f"/proc/{target.process.pid}/fd")) - files
    except BenchError as problem:
        talk(f"failed: {problem}")
        return 1
    if seen.total() < 2 * _SETTLED:
        talk(f"{seen.total():,} streams are few: before some {_SETTLED:,} the allocator's heap isn't settled, and the slope says nothing of a leak")
    growth = slope(samples[len(samples) // 2 :]) * 3600 / MIB
    memory = f"{samples[0][1] / MIB:.1f} MiB at first, {samples[-1][1] / MIB:.1f} MiB at last, {growth:+.1f} MiB an hour over the second half"
    became = f"{seen['whole']:,} whole, {seen['left']:,} left, {seen['failed']:,} failed, {seen['rested']:,} refused while the route rested"
    streams = f"{seen.total():,} streams: {became}"
    sys.stdout.write(f"{streams}\nmemory: {memory}\nopen files more than before: {left}\n")
    return 0 if growth < options.most and left <= 0 and seen["rested"] <= RESTED * seen.total() else 1


if __name__ == "__main__":
    sys.exit(main())
