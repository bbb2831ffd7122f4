"""`python -m fuzz.hammer NAME`: one parser against damage by a fixed seed; prints what came of it as JSON.

In a process of its own, so that its memory is the parser's. Exit status 1 where something but our own error escaped, where an input
took too long, or where memory grew beyond the limit.
"""

import argparse
import json
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from fuzz.limits import allowed_memory, peak_memory
from fuzz.mutate import damaged
from fuzz.target import Target, judge
from fuzz.targets import by_name

KEPT = 5  # findings that are told in full
UNTOUCHED = "taken"


@dataclass
class Outcome:
    """What a run found. `checks` counts inputs by the check that refused them."""

    name: str
    runs: int
    seconds: float = 0.0
    slowest: float = 0.0
    memory: int = 0  # bytes by which the process grew
    checks: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def hammer(target: Target, runs: int, seed: int) -> Outcome:
    """`runs` damaged inputs, and each seed as it is."""
    rng, seeds, outcome, counted = random.Random(seed), target.seeds(), Outcome(target.name, runs), Counter[str]()
    for data in seeds:
        judge(target, data)  # what is loaded once is no growth
    before, begun = peak_memory(), time.perf_counter()
    for _ in range(runs):
        data = damaged(seeds, rng, text=target.text)
        try:
            verdict = judge(target, data)
        except Exception as error:  # noqa: BLE001  # what escapes is what we look for
            if len(outcome.findings) < KEPT:
                place = traceback.extract_tb(error.__traceback__)[-1]
                outcome.findings.append(f"{type(error).__name__}: {str(error)[:200]} at {place.filename}:{place.lineno}, input {data[:4000].hex()}")
            counted["escaped"] += 1
            continue
        counted[verdict.check or UNTOUCHED] += 1
        outcome.slowest = max(outcome.slowest, verdict.seconds)
    outcome.seconds, outcome.memory = time.perf_counter() - begun, peak_memory() - before
    outcome.checks = dict(counted.most_common())
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one target; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.hammer", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=sorted(by_name()))
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", UserWarning)  # cryptography warns of odd certificates, and damage makes them: negative serial numbers, long names
    target = by_name()[options.name]
    outcome = hammer(target, options.runs, options.seed)
    print(json.dumps(asdict(outcome), indent=1))
    return 1 if outcome.findings or outcome.memory > allowed_memory(options.runs, target.keeps) else 0


if __name__ == "__main__":
    sys.exit(main())
