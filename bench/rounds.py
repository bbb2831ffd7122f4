"""Targets measured in turn, round after round, so that what disturbs the machine disturbs all of them."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.load import Sample, Target, Workload, check, drive, measure
from bench.procs import Cores

WARM_UP_SECONDS = 1.0
SETTLE_SECONDS = 0.2
SLOW_SECONDS = 8.0  # a peer that takes a second for an answer needs this long, or the cut at the end would count against it
SLOW_STREAM_SECONDS = 24.0  # likewise, where an answer takes several seconds


def interleaved(
    targets: Sequence[Target],
    workload: Workload,
    *,
    rounds: int,
    seconds: float,
    cores: Cores,
    directory: Path,
    slow_rounds: int,
    tell: Callable[[str], None],
) -> dict[str, list[Sample | None]]:
    """Samples of each target by name, one a round; slow targets only in the first `slow_rounds`, for longer.

    Raises: BenchError as soon as one answer is wrong.
    """
    found: dict[str, list[Sample | None]] = {target.name: [] for target in targets}
    sizes = {}
    for target in targets:
        sizes[target.name] = check(target, workload)
        drive(target, workload, seconds=WARM_UP_SECONDS, cores=cores, directory=directory)
        if target.slow:
            quiesce(target)
    for number in range(rounds):
        for target in targets:
            if target.slow and number >= slow_rounds:
                found[target.name].append(None)
                continue
            length = max(seconds, workload.least_seconds)
            if target.slow:
                length = max(length, SLOW_STREAM_SECONDS if workload.stream else SLOW_SECONDS)
            sample = measure(target, workload, sizes[target.name], seconds=length, cores=cores, directory=directory)
            found[target.name].append(sample)
            tell(f"round {number + 1}/{rounds}  {target.name:<34} {sample.rate:>9,.0f} req/s  p99 {sample.p99:>8,.2f} ms")
            if target.slow:
                quiesce(target)
            time.sleep(SETTLE_SECONDS)
    return found


def quiesce(target: Target) -> None:
    """Waits until a slow target has worked off what the load generator abandoned: it must not steal time from the next."""
    if target.process is None:
        return
    for _ in range(60):
        before = target.process.cpu_seconds()
        time.sleep(0.25)
        if target.process.cpu_seconds() - before < 0.05:
            return
