"""`python -m bench.controls`: what limits, budgets and rules cost on top of a gateway that has none, in microseconds of its time for a request.

Each variant has what the one before it has. Envoy stands beside them, for the floors: 0.30 of its rate with all of it on and every answer on
disk, 0.40 without the disk. Exit status 0 when every answer was right, 1 otherwise.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence

from bench.load import CONNECTIONS, WHOLE
from bench.procs import BenchError, end_on_signals
from bench.rounds import interleaved
from bench.run import talk
from bench.stage import Stage, staged
from bench.table import Rounds, layout, median_of, rows

_STEPS = ("process", "limits", "budget", "rules")
_WANTED = ("envoy", "full", *_STEPS, "controlled")


def costs(found: Rounds, names: dict[str, str]) -> str:
    """The cost of each step: the difference of medians."""
    times = {step: median_of([sample for sample in found[names[step]] if sample], "cpu") or 0.0 for step in _STEPS}
    lines = [f"{after:<8} {times[after] - times[before]:+8.1f} µs a request" for before, after in itertools.pairwise(_STEPS)]
    return "\n".join([f"{'process':<8} {times['process']:8.1f} µs a request", *lines])


def report(stage: Stage, rounds: int, seconds: float) -> str:
    found = interleaved(
        list(stage.targets.values()), WHOLE, rounds=rounds, seconds=seconds, cores=stage.cores, directory=stage.directory, slow_rounds=1, tell=talk
    )
    names = {name: target.name for name, target in stage.targets.items()}
    table = rows(found, envoy=names["envoy"], litellm="")
    return f"\n{WHOLE.title}, {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s\n\n{layout(table)}\n\n{costs(found, names)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.controls", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    options = parser.parse_args(arguments)
    end_on_signals()
    try:
        with staged(_WANTED, talk) as stage:
            print(report(stage, options.rounds, options.seconds))
    except BenchError as problem:
        talk(f"bench: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
