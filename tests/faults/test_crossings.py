"""No stream ever carries another caller's words, whoever leaves in between; and nothing of so many is left behind."""

import asyncio
import multiprocessing
import os
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import uvloop

from tests.faults.crowd import Toll, gather

MIB = 1 << 20


def crowded(streams: int, at_once: int, *, sealed: bool = False, seed: int = 20_261_123) -> Toll:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(gather(folder, streams=streams, at_once=at_once, callers=8, aborts=0.05, seed=seed, sealed=sealed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judge(toll: Toll, streams: int) -> None:
    assert toll.crossed == []
    assert toll.failed == {}
    assert toll.left == []
    assert toll.whole + toll.aborted == streams
    assert 0.03 * streams < toll.aborted < 0.07 * streams
    # The last piece leaves once its row is there: each whole stream has one, of its own caller's. Who left may have been too late for that.
    completed = Counter({key: count for (key, status), count in toll.rows.items() if status == "completed"})
    assert toll.wholes <= completed
    assert toll.whole <= completed.total() <= toll.rows.total() <= streams
    assert {status for _, status in toll.rows} == {"completed", "client_gone"}


@pytest.mark.parametrize(("streams", "sealed"), [(2_000, False), (1_000, True)], ids=["open", "sealed"])
def test_streams_do_not_cross(streams: int, sealed: bool) -> None:
    judge(crowded(streams, 100, sealed=sealed), streams)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("streams", "sealed"), [(100_000, False), (20_000, True)], ids=["open", "sealed"])
def test_a_hundred_thousand_streams_do_not_cross_and_memory_stays_flat(streams: int, sealed: bool) -> None:
    """Each core has a gateway of its own with its share of them, and 200 streams at once on each."""
    cores = min(4, len(os.sched_getaffinity(0)))
    share = streams // cores
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as processes:
        plays = [processes.submit(crowded, share, 200, sealed=sealed, seed=seed) for seed in range(cores)]
        for play in plays:
            toll = play.result()
            judge(toll, share)
            assert toll.memory[-1] - toll.memory[5] < 16 * MIB, [sample // MIB for sample in toll.memory]
