"""`python -m bench.latency`: what a gateway adds to the first token and between tokens, at 1, 32 and 256 streams.

The model server says a token each 20 ms. The same client times the same streams, in turn for each target, so that what the machine does to
one it does to all; what is added is the difference to the model server asked directly.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from bench.load import STREAM, Target, check
from bench.mock import CHUNKS
from bench.procs import BenchError, end_on_signals
from bench.run import names_of, talk
from bench.stage import Stage, staged
from bench.streaming import Timed, connect, head_of, percentile, stream
from bench.table import layout

TARGETS = ("direct", "envoy", "full", "process")
STREAMS = (1, 32, 256)
PACE = 0.02  # seconds between two tokens, as nginx.conf has it
MEASURED = 2  # streams of each client
LITTLE = 8  # streams at least that are timed at each width: one alone says nothing


@dataclass(frozen=True)
class Delays:
    """Milliseconds."""

    first_p50: float
    first_p99: float
    gap_p50: float
    gap_p99: float


def delays(found: Sequence[Timed]) -> Delays:
    first = [each.first * 1e3 for each in found]
    gaps = [gap * 1e3 for each in found for gap in each.gaps]
    return Delays(percentile(first, 0.5), percentile(first, 0.99), percentile(gaps, 0.5), percentile(gaps, 0.99))


def row(name: str, mine: Delays, direct: Delays | None) -> tuple[str, ...]:
    """A line of the table; what is added stands behind the figures, where there is a direct one to compare with."""
    cells = [name]
    for field in ("first_p50", "first_p99", "gap_p50", "gap_p99"):
        value: float = getattr(mine, field)
        cells += [f"{value:,.2f}", "-" if direct is None or direct is mine else f"{value - getattr(direct, field):+,.2f}"]
    return tuple(cells)


async def many(target: Target, width: int) -> list[Timed]:
    """`width` paced streams at once: each client begins at a moment of its own, and its first stream, for which connections are made, isn't timed."""
    body = STREAM.body()[:-1] + b',"paced":true}'
    request = head_of(target, len(body)) + body
    connections = [await connect(target) for _ in range(width)]
    try:

        async def client(number: int) -> list[Timed]:
            await asyncio.sleep(CHUNKS * PACE * number / width)
            return [await stream(connections[number], request) for _ in range(1 + MEASURED)][1:]

        found = [timed for each in await asyncio.gather(*map(client, range(width))) for timed in each]
        if any(each.events < CHUNKS for each in found):
            raise BenchError(f"{target.name}: a stream lacks events")
        return found
    finally:
        for _, writer in connections:
            writer.close()


def report(stage: Stage, width: int, rounds: int) -> str:
    found: dict[str, list[Timed]] = {name: [] for name in stage.targets}
    for number in range(max(rounds, -(-LITTLE // (MEASURED * width)))):
        for name, target in stage.targets.items():
            found[name] += uvloop.run(many(target, width))
            talk(f"{width} streams, round {number + 1}: {target.name}")
    figures = {name: delays(each) for name, each in found.items()}
    direct = figures.get("direct")
    header = ("", "first p50", "added", "first p99", "added", "gap p50", "added", "gap p99", "added")
    table = [header, *(row(stage.targets[name].name, each, direct) for name, each in figures.items())]
    return f"\n{width} streams at once, a token each 20 ms; milliseconds\n\n{layout(table)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=names_of, default=TARGETS, help="targets, separated by commas")
    options = parser.parse_args(arguments)
    end_on_signals()
    try:
        with staged(options.only, talk) as stage:
            for target in stage.targets.values():
                check(target, STREAM)
            tables = [report(stage, width, options.rounds) for width in STREAMS]
    except BenchError as problem:
        talk(f"benchmark failed: {problem}")
        return 1
    except KeyboardInterrupt:
        talk("interrupted; everything that was started has ended")
        return 130
    sys.stdout.write("".join(tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
