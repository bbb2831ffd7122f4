"""`python -m bench.attest`: how long each kind of evidence takes to verify, beside the bare cryptography in it.

Collateral is in memory; nothing is fetched. "first" is a verification of which nothing is remembered; then it goes on with other pieces
of the same kind, under the same collateral, as a gateway does that asks its machines every hour. The bare cryptography of a first one is
measured in turn with it, so that a slow moment of the machine hits both. Times are of the processor, one core. Ends 0 whatever the
figures: it is no test.
"""

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.utils import CryptographyDeprecationWarning

from bench.evidence import Case, from_folder, minted
from bench.table import layout

LEAST_RUNS = 30


@dataclass(frozen=True)
class Figures:
    """Milliseconds of the processor."""

    first: float  # median, of verifications after which all was forgotten
    median: float
    p95: float
    bare: float  # median
    runs: int


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of the processor that `call` takes: what else runs on the machine hardly shows in them."""
    begun = time.thread_time()
    call()
    return (time.thread_time() - begun) * 1000


def forget() -> None:
    """Empty every cache of attest."""
    for name, module in list(sys.modules.items()):
        if name.startswith("ollm.attest"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def measure(case: Case, seconds: float) -> Figures:
    """Verify for about `seconds`: a third of it forgetting and beside the bare cryptography, the rest remembering."""
    case.verify[0]()  # loads what is loaded once
    first: list[float] = []
    raw: list[float] = []
    again: list[float] = []
    end = time.perf_counter() + seconds / 3
    while time.perf_counter() < end or len(first) < LEAST_RUNS:
        forget()
        first.append(timed(case.verify[len(first) % len(case.verify)]))
        raw.append(timed(case.bare))
    end = time.perf_counter() + seconds * 2 / 3
    while time.perf_counter() < end or len(again) < LEAST_RUNS:
        again.append(timed(case.verify[len(again) % len(case.verify)]))
    return Figures(
        statistics.median(first), statistics.median(again), statistics.quantiles(again, n=20)[-1], statistics.median(raw), len(first) + len(again)
    )


HEADER = ("", "median ms", "p95 ms", "first ms", "bare ms", "first ÷ bare", "goal ms", "", "runs", "bare is")


def row(case: Case, found: Figures) -> tuple[str, ...]:
    """One line of the table."""
    goal = "-" if case.goal_ms is None else f"{case.goal_ms:g}"
    verdict = "" if case.goal_ms is None else "met" if found.median <= case.goal_ms else "OVER THE GOAL"
    figures = (f"{figure:.2f}" for figure in (found.median, found.p95, found.first, found.bare, found.first / found.bare))
    return case.name, *figures, goal, verdict, f"{found.runs:,}", str(case.bare)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.attest", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each kind")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # AMD's certificates have the serial number 0
    folder = os.environ.get("OLLM_EVIDENCE_DIR")
    cases = [*minted(), *(from_folder(Path(folder)) if folder else [])]
    lines: list[tuple[str, ...]] = [HEADER]
    for case in cases:
        sys.stderr.write(f"{case.name} …\n")
        lines.append(row(case, measure(case, options.seconds)))
    print(layout(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
