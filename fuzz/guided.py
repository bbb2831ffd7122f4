"""`python -m fuzz.guided`: every parser in turn under libFuzzer, which keeps the inputs that reach new code and damages those.

    FUZZ_RUNS=1000000 make fuzz                            a million inputs for each parser
    python -m fuzz.guided --only tdx-quote --runs 1000000  for one

Begins with minted evidence and with what the last run kept in var/fuzz, where findings lie too. Where OLLM_EVIDENCE_DIR names a folder
of recorded evidence it begins with that as well, and then keeps nothing. Exit status 1 where anything
but our own error escaped, an input took too long, or memory grew beyond the limit.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fuzz.targets import TARGETS, by_name

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "var" / "fuzz"
_BEGUN = re.compile(r"^fuzzing from (\S+)$", re.MULTILINE)
_DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+).*?rss: (\d+)Mb", re.MULTILINE)


def command(name: str, fresh: Path, runs: int, seconds: int) -> list[str]:
    """The process that fuzzes one target."""
    limits = [f"-runs={runs}", f"-max_total_time={seconds}", "-timeout=10", "-max_len=131072", "-len_control=0"]
    return [sys.executable, "-m", "fuzz.harness", name, str(fresh), str(FOLDER / "corpus" / name), *limits, f"-artifact_prefix={FOLDER}/{name}-"]


def row(name: str, output: str, ended: float) -> str:
    """One line of the table from what a harness and libFuzzer said; `ended` by the monotonic clock, which all processes share."""
    begun, done = _BEGUN.search(output), _DONE.search(output)
    if begun is None or done is None:
        return f"{name:<28} ended before its time"
    runs, reached, memory = map(int, done.groups())
    return f"{name:<28} {runs:>10,} {runs / max(ended - float(begun[1]), 1e-9):>10,.0f} {reached:>8,} {memory:>8,}"


def fuzz(name: str, runs: int, seconds: int) -> tuple[int, str]:
    """Fuzz one target to its end; the exit status and a line for the table. What a failed one printed goes to a file beside the corpus."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ollm-fuzz-") as fresh:
        process = subprocess.run(command(name, Path(fresh), runs, seconds), cwd=ROOT, capture_output=True, text=True, errors="replace")
    output = process.stdout + process.stderr
    log = FOLDER / f"{name}.log"
    log.write_text(output, encoding="utf-8")
    line = row(name, output, time.monotonic())
    return process.returncode, line if process.returncode == 0 else f"{line}\n  FAILED, see {log.relative_to(ROOT)}\n{_told(output)}"


def _told(output: str) -> str:
    """The part of the output that names what escaped, else its end."""
    lines = output[max(output.find("=== Uncaught Python exception"), 0) :].splitlines()
    return "\n".join(f"  {line[:200]}" for line in (lines[:25] if lines and "Uncaught" in lines[0] else lines[-25:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after the other; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.guided", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[target.name for target in TARGETS], help="names, with commas")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("FUZZ_RUNS", "5000")), help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=0, help="at most, for each target; 0: until the runs are done")
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - set(by_name()):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(by_name()))}")
    print(f"{'':<28} {'inputs':>10} {'inputs/s':>10} {'reached':>8} {'peak MiB':>8}", flush=True)
    failed = 0
    for name in options.only:
        status, line = fuzz(name, options.runs, options.seconds)
        failed += status != 0
        print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
