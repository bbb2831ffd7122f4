"""`python -m bench.run`: every target in turn on the same two cores, and a table of medians and ratios.

Exit status 0 when every answer was right, 1 otherwise.
"""

import argparse
import sys
from collections.abc import Sequence

from bench.load import CONNECTIONS, WHOLE, WORKLOADS, Workload
from bench.ollm import CONTROLS
from bench.procs import BenchError, end_on_signals
from bench.rounds import interleaved
from bench.stage import NAMES, Stage, staged
from bench.table import Rounds, layout, median_of, ratio, rows

LITELLM_ROUNDS = 2
WHAT_IS_ON = """\
On in OLLM, for every request: API key checked (HMAC), request parsed strictly and admitted, prompt sent only on a connection whose
key the enclave's evidence binds (TDX quote, appraised at start), intent and completion rows in SQLite, a signed receipt, sealed
at rest. "full": both rows in a commit that survives power loss before the answer ends; "process": survives kill -9.
Envoy relays and does nothing else (upstream TLS, certificate unchecked). LiteLLM checks its master key (upstream without TLS, no
database). The two "own enclave" rows go to OLLM's simulated enclave, Python on the load's core: it is what limits
them, so only their ratio to each other tells what sealing (EHBP) costs; it includes the enclave's opening and sealing."""


def talk(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def names_of(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(NAMES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    return chosen


def loads_of(text: str) -> tuple[Workload, ...]:
    known = {workload.name: workload for workload in WORKLOADS}
    if unknown := set(text.split(",")) - set(known):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return tuple(known[name] for name in text.split(","))


def sealing(found: Rounds, unsealed: str, sealed: str) -> str:
    """What sealing costs: the ratio of the two rows, and the gateway's own time, which the enclave's does not blur."""
    rate = ratio(found, sealed, unsealed)
    if rate is None:
        return ""
    times = [median_of([sample for sample in found[name] if sample], "cpu") or 0.0 for name in (sealed, unsealed)]
    return f"\n\nsealed ÷ unsealed, same enclave: {rate:.3f}; the gateway's time for sealing and opening: {times[0] - times[1]:,.0f} µs a request"


def report(stage: Stage, workload: Workload, options: argparse.Namespace) -> str:
    """Measures one workload and lays its table out."""
    found = interleaved(
        list(stage.targets.values()),
        workload,
        rounds=options.rounds,
        seconds=options.seconds,
        cores=stage.cores,
        directory=stage.directory,
        slow_rounds=LITELLM_ROUNDS if workload is WHOLE else 1,
        tell=talk,
    )
    base = {name: target.name for name, target in stage.targets.items()}
    table = rows(found, envoy=base.get("envoy", ""), litellm=base.get("litellm", ""))
    note = sealing(found, base.get("unsealed", ""), base.get("sealed", ""))
    return f"\n{workload.title}, {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds:g} s\n\n{layout(table)}{note}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument(
        "--only",
        type=names_of,
        default=tuple(name for name in NAMES if name not in CONTROLS),
        help=f"targets, separated by commas: {', '.join(NAMES)}",
    )
    parser.add_argument("--loads", type=loads_of, default=WORKLOADS, help=f"of {', '.join(workload.name for workload in WORKLOADS)}")
    options = parser.parse_args(arguments)
    end_on_signals()
    try:
        with staged(options.only, talk) as stage:
            tables = [report(stage, workload, options) for workload in options.loads]
    except BenchError as problem:
        talk(f"benchmark failed: {problem}")
        return 1
    except KeyboardInterrupt:
        talk("interrupted; everything that was started has ended")
        return 130
    sys.stdout.write("".join(tables) + "\n" + WHAT_IS_ON + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
