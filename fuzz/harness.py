"""`python -m fuzz.harness NAME FRESH KEPT FLAG…`: one parser under libFuzzer, by way of atheris. `guided` starts it.

FRESH is a folder for the time of the run, KEPT one for what reached new code; flags are libFuzzer's.
"""

import dataclasses
import importlib
import os
import random
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from fuzz.limits import allowed_memory, peak_memory
from fuzz.mutate import damaged

_OWN_SHARE = 0.5  # of the inputs that our mutator damages; libFuzzer damages the others
_SLOWED_BY_TRACING = 4.0


def recorded(patterns: Sequence[str], folder: str | None) -> list[bytes]:
    """Files of recorded evidence, where a folder is given."""
    return [path.read_bytes() for pattern in patterns for path in sorted(Path(folder).glob(pattern))] if folder else []


def folders(seeds: Sequence[bytes], fresh: Path, kept: Path | None) -> list[str]:
    """Folders for libFuzzer: what is new goes into the first, what is known comes from all. `kept` None: nothing outlasts `fresh`."""
    known = fresh / "seeds"
    known.mkdir(parents=True)
    for index, seed in enumerate(seeds):
        (known / str(index)).write_bytes(seed)
    corpus = kept if kept is not None else fresh / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    return [str(corpus), str(known)]


def main(arguments: Sequence[str]) -> None:
    """Fuzz until the runs are done; libFuzzer ends the process."""
    name, fresh, kept, *flags = arguments
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["ollm.attest"]):
        judge = importlib.import_module("fuzz.target").judge
        target = importlib.import_module("fuzz.targets").by_name()[name]
    target = dataclasses.replace(target, slowed=target.slowed * _SLOWED_BY_TRACING)
    evidence = recorded(target.recorded, os.environ.get("OLLM_EVIDENCE_DIR"))
    seeds = [*target.seeds(), *evidence]
    for seed in seeds:
        judge(target, seed)  # what is loaded once is no growth
    warnings.simplefilter("ignore", UserWarning)  # cryptography warns of odd certificates, and damage makes them: negative serial numbers, long names

    def one(data: bytes) -> None:
        judge(target, data)

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < _OWN_SHARE:
            return damaged([data, data, data, rng.choice(seeds)], rng, text=target.text)[:max_size]
        result: bytes = atheris.Mutate(data, max_size)
        return result

    runs = next(int(flag.removeprefix("-runs=")) for flag in flags if flag.startswith("-runs="))
    limit = (peak_memory() + allowed_memory(runs, target.keeps)) >> 20
    corpora = folders(seeds, Path(fresh), None if evidence else Path(kept))
    atheris.Setup(["fuzz", *flags, f"-rss_limit_mb={limit}", *corpora], one, custom_mutator=mutated)
    print(f"fuzzing from {time.monotonic()}", flush=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
