"""`python -m bench.profile full`: where the gateway's time goes, under the load of the benchmark.

Samples one OLLM variant with py-spy (from the peers' environment) while wrk loads it; leaves the stacks in bench/var for a flame graph.
"""

import argparse
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bench import needs
from bench.load import WORKLOADS, Workload, check, drive
from bench.ollm import VARIANTS
from bench.procs import BenchError, end_on_signals
from bench.run import talk
from bench.stacks import Shares, listing, shares, threads, tree
from bench.stage import Stage, staged

RATE = 400  # samples a second; more would itself slow the gateway
LEAD_SECONDS = 1.5

Times = dict[int, tuple[float, float]]


def sample(stage: Stage, variant: str, workload: Workload, options: argparse.Namespace) -> tuple[Shares, str]:
    """Loads the variant, and samples it from after the first second until shortly before the end. Raises: BenchError."""
    target = stage.targets[variant]
    check(target, workload)
    assert target.process is not None
    stacks = stage.directory / f"stacks-{variant}-{workload.name}.txt"
    load = threading.Thread(
        target=drive,
        args=(target, workload),
        kwargs={"seconds": 1.5 * options.seconds + 2 * LEAD_SECONDS, "cores": stage.cores, "directory": stage.directory},
    )
    load.start()
    try:
        threading.Event().wait(LEAD_SECONDS)
        before = target.process.thread_seconds()
        threading.Event().wait(options.seconds / 2)  # unsampled: py-spy stops every thread, and each stop is charged to the thread
        after = target.process.thread_seconds()
        _record(target.process.pid, stacks, options, stage)
    finally:
        load.join()
    talk(f"stacks: {stacks}")
    lines = stacks.read_text().splitlines()
    return shares(lines), spent(before, after, threads(lines))


def spent(before: Times, after: Times, names: dict[int, str]) -> str:
    """Processor time of each thread between two readings, the busiest first."""
    deltas = [(user - before.get(each, (0.0, 0.0))[0], system - before.get(each, (0.0, 0.0))[1], each) for each, (user, system) in after.items()]
    deltas = sorted((delta for delta in deltas if delta[0] + delta[1] > 0), reverse=True)
    total = sum(user + system for user, system, _ in deltas) or 1.0
    lines = [
        f"{(user + system) / total:7.1%}  {names.get(each, '(not sampled)')}: user {user:.2f} s, system {system:.2f} s"
        for user, system, each in deltas
    ]
    return "processor time by thread\n" + "\n".join(lines) + "\n"


def _record(pid: int, stacks: Path, options: argparse.Namespace, stage: Stage) -> None:
    py_spy = needs.peers_venv() / "bin" / "py-spy"
    command = ["taskset", "-c", str(stage.cores.load), str(py_spy), "record", "--pid", str(pid), "--format", "raw", "--threads"]
    command += ["--rate", str(RATE), "--duration", str(round(options.seconds)), "--output", str(stacks)]
    if options.native:
        command.append("--native")
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=options.seconds + 60)
    except FileNotFoundError:
        raise BenchError(f"no py-spy in {needs.peers_venv()}") from None
    if run.returncode != 0 or not stacks.exists():
        raise BenchError(f"py-spy failed (it needs the right to trace: root, or ptrace_scope 0):\n{run.stderr[-2000:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--load", choices=[workload.name for workload in WORKLOADS], default="whole")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--native", action="store_true", help="also name C functions (slows the gateway while it is sampled)")
    options = parser.parse_args(arguments)
    end_on_signals()
    workload = next(each for each in WORKLOADS if each.name == options.load)
    try:
        with staged((options.variant,), talk) as stage:
            found, times = sample(stage, options.variant, workload, options)
    except BenchError as problem:
        talk(f"profile failed: {problem}")
        return 1
    except KeyboardInterrupt:
        return 130
    parts = [
        times,
        listing("the main thread by package, own time of its innermost Python function", found.packages, found.total, options.top),
        listing("own time of functions", found.own, found.total, options.top),
        listing("functions with all they call", found.within, found.total, options.top),
        tree(found),
    ]
    sys.stdout.write(f"{found.total} samples of the main thread, {workload.title}\n\n" + "\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
