"""Everything that a run needs, started: the model server, the peers, and OLLM in its variants."""

import fcntl
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import needs, ollm, peers
from bench.load import Target
from bench.mock import start_mock
from bench.procs import BenchError, Cores, Group, free_ports, two_cores

PEERS = ("direct", "envoy", "litellm")
NAMES = (*PEERS, *ollm.VARIANTS)


@dataclass(frozen=True)
class Stage:
    """What stands: targets by short name, in the order of the table."""

    targets: dict[str, Target]
    cores: Cores
    directory: Path


@contextmanager
def alone() -> Iterator[None]:
    """Holds bench/var, emptied, for one run: two at once would measure each other. Raises: BenchError."""
    needs.VAR.mkdir(parents=True, exist_ok=True)
    with (needs.VAR / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another run of the benchmark is under way") from None
        for entry in needs.VAR.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        yield


@contextmanager
def staged(wanted: Collection[str], tell: Callable[[str], None]) -> Iterator[Stage]:
    """Starts what `wanted` (of `NAMES`) takes, and ends every process when the block is left. Raises: BenchError."""
    needs.system_packages()
    cores = two_cores()
    with alone(), Group(needs.VAR) as group:
        plain, tls, attest, envoy, litellm = free_ports(5)
        tell("starting the model server")
        mock = start_mock(group, cores, plain_port=plain, tls_port=tls, attest_port=attest)
        found: dict[str, Target] = {}
        if "direct" in wanted:
            found["direct"] = peers.direct(mock)
        if {"envoy", "litellm"} & set(wanted):
            programs = needs.peers(needs.peers_venv())
            if "envoy" in wanted:
                tell("starting Envoy")
                found["envoy"] = peers.start_envoy(group, cores, programs, mock, envoy)
            if "litellm" in wanted:
                tell("starting LiteLLM (takes a while)")
                found["litellm"] = peers.start_litellm(group, cores, programs, mock, litellm)
        variants = [name for name in ollm.VARIANTS if name in wanted]
        if variants:
            tell("starting OLLM: " + ", ".join(variants))
            found |= ollm.start(group, cores, mock, variants)
        yield Stage({name: found[name] for name in NAMES if name in found}, cores, group.directory)
