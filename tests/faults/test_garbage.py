"""A request leaves no cycles behind, however it ends: what is in one stays in memory until the collector comes.

That would be prompts and connections. The collector is kept from looking meanwhile, and what it then finds is counted.
"""

import asyncio
import gc
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.faults.catalogue import FAULTS
from tests.faults.crowd import Crowd, opened_crowd
from tests.faults.wall import suffer

OF_A_REQUEST = {
    "Connection", "HttpResponseParser", "Response", "HttpExchange", "Call", "Exchange", "JsonRequest", "Ticket", "Outgoing", "SealedRequest",
    "Answer", "StreamRewriter", "EventParser", "UpstreamError", "WireError", "ErrorAnswer", "ApiError", "TrustRefusal",
}  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ollm-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Uncollected:
    """`with Uncollected() as found:` keeps the collector away; afterwards `found.kinds` counts what of requests it would have had to collect."""

    def __enter__(self) -> "Uncollected":
        self.kinds: Counter[str] = Counter()
        gc.collect()
        gc.disable()
        return self

    def __exit__(self, *error: object) -> None:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        ours = [type(each) for each in gc.garbage if type(each).__module__.partition(".")[0] in ("ollm", "httptools")]
        self.kinds.update(kind.__name__ for kind in ours if kind.__name__ in OF_A_REQUEST)
        gc.garbage.clear()
        gc.enable()


async def stream(folder: Path, aborts: float) -> Counter[str]:
    async with opened_crowd(folder) as stage:
        await Crowd(stage, [stage.api_key], streams=20, aborts=0.0, seed=1).run(5)  # what is made once is made
        with Uncollected() as found:
            await Crowd(stage, [stage.api_key], streams=60, aborts=aborts, seed=2).run(10)
            await asyncio.sleep(0.3)
    return found.kinds


@pytest.mark.parametrize("aborts", [0.0, 1.0], ids=["whole", "left"])
def test_streams_leave_no_cycles(aborts: float, folder: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(stream(folder, aborts)) == {}


def test_failures_leave_no_cycles(folder: Path) -> None:
    faults = tuple(fault for fault in FAULTS if not fault.hasty)
    with Uncollected() as found, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(suffer(folder, faults, {}))
    assert found.kinds == {}
