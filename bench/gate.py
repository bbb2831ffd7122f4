"""`python -m bench.gate`: exit status 0 only where OLLM is fast enough beside its peers, measured in one run.

Small whole chats over attested TLS at 32 connections; the median of ratios paired round by round. Not part of CI: it takes
minutes and a quiet machine.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import WHOLE
from bench.procs import BenchError, end_on_signals
from bench.rounds import interleaved
from bench.run import talk
from bench.stage import staged
from bench.table import Rounds, layout, ratio, rows

TARGETS = ("envoy", "litellm", "full", "process")


@dataclass(frozen=True)
class Demand:
    """`target` must reach `least` times the rate of `base`."""

    target: str
    base: str
    least: float


# What the product promises. A prototype with one signature, three hashes and a durable row per request reached 0.38 to 0.50 of Envoy.
DEMANDS = (
    Demand("full", "envoy", 0.30),
    Demand("process", "envoy", 0.40),
    Demand("full", "litellm", 100.0),
)


def judge(found: Rounds, names: dict[str, str]) -> list[tuple[str, bool]]:
    """A line for each demand, and whether it is met. `names` maps short names to those in `found`. A demand without figures fails."""
    verdicts = []
    for demand in DEMANDS:
        got = ratio(found, names[demand.target], names[demand.base])
        met = got is not None and got >= demand.least
        shown = "not measured" if got is None else f"{got:.3f}"
        verdicts.append((f"{'met   ' if met else 'MISSED'}  {names[demand.target]} ÷ {names[demand.base]}: {shown}, at least {demand.least:g}", met))
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement; LiteLLM, which is slow, gets at least 8")
    options = parser.parse_args(arguments)
    end_on_signals()
    try:
        with staged(TARGETS, talk) as stage:
            found = interleaved(
                list(stage.targets.values()),
                WHOLE,
                rounds=options.rounds,
                seconds=options.seconds,
                cores=stage.cores,
                directory=stage.directory,
                slow_rounds=options.rounds,
                tell=talk,
            )
            names = {name: target.name for name, target in stage.targets.items()}
    except BenchError as problem:
        talk(f"benchmark failed: {problem}")
        return 1
    except KeyboardInterrupt:
        talk("interrupted; everything that was started has ended")
        return 130
    verdicts = judge(found, names)
    table = layout(rows(found, envoy=names["envoy"], litellm=names["litellm"]))
    sys.stdout.write(f"{table}\n\n" + "\n".join(line for line, _ in verdicts) + "\n")
    return 0 if all(met for _, met in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
