"""kill -9 at any moment: no promise is broken, and nothing is counted twice."""

import collections
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ollm.store import journal
from ollm.values.ledger import Status
from tests.store.conftest import Opener
from tests.store.making import raw, url

ROOT = Path(__file__).parents[2]


def run_and_kill(directory: Path, durability: str, seconds: float, *, after: str) -> tuple[set[str], set[str]]:
    """Ids of acknowledged intents and of acknowledged completions of a process that lived `seconds` after its first line that begins with `after`.

    What it has to have done by then is waited for, and not guessed from the time: a disk may be slow.
    """
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    command = [sys.executable, "-m", "tests.store.doomed", url(directory), durability]
    said = directory / "said"
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, cwd=ROOT, env=environment) as process:
        while f"\n{after}" not in "\n" + said.read_text():
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    lines = said.read_text().splitlines()
    return {line[2:] for line in lines if line.startswith("I ")}, {line[2:] for line in lines if line.startswith("C ")}


@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.parametrize("durability", ["full", "process"])
async def test_every_promise_is_kept_once_whenever_the_process_dies(opener: Opener, tmp_path: Path, durability: str) -> None:
    chance = random.Random(7)
    intended: set[str] = set()
    completed: set[str] = set()
    for after in ("ready", "C ", "C "):
        intents, completions = run_and_kill(tmp_path, durability, chance.uniform(0.0, 0.2), after=after)
        intended |= intents
        completed |= completions
    assert completed
    assert not completed - intended
    async with opener() as store:
        counted = collections.Counter(row.request_id for row in await store.ledger.recent(1_000_000))
        statuses = {row.request_id: row.status for row in await store.ledger.recent(1_000_000)}
        assert store.ledger.under_way == 0
        sample = await store.ledger.find(next(iter(completed)))
    assert set(counted.values()) == {1}
    assert all(statuses[request] is Status.COMPLETED for request in completed)
    assert not intended - set(statuses)  # each has its own entry, or is LOST
    assert Status.LOST in statuses.values()
    assert sample is not None
    assert sample.receipt == b"sealed receipt"
    with raw(tmp_path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.process
@pytest.mark.timeout(300)
async def test_dying_during_recovery_leaves_it_to_the_next_start(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intended, _ = run_and_kill(tmp_path, "process", 0.05, after="I ")
    assert intended

    def die(self: journal.Journal) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(journal.Journal, "clear", die)  # the LOST rows are written, the intents are still there
        store = opener()
        with pytest.raises(KeyboardInterrupt):
            await store.start()
        await store.close()
    async with opener() as store:
        rows = [row.request_id for row in await store.ledger.recent(1_000_000)]
    assert len(rows) == len(set(rows))
    assert intended <= set(rows)
