"""No stream ever carries another caller's words, whoever leaves in between; and nothing of so many is left behind."""

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import uvloop

from tests.faults.crowd import Toll, gather

MIB = 1 << 20


def crowded(*, streams: int, at_once: int) -> Toll:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(gather(folder, streams=streams, at_once=at_once, callers=8, aborts=0.05, seed=20_261_123))
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


def test_streams_do_not_cross() -> None:
    judge(crowded(streams=2_000, at_once=100), 2_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_streams_do_not_cross_and_memory_stays_flat() -> None:
    toll = crowded(streams=100_000, at_once=200)
    judge(toll, 100_000)
    assert toll.memory[-1] - toll.memory[5] < 16 * MIB, [sample // MIB for sample in toll.memory]
