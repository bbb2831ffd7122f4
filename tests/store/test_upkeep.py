"""What the store does by itself: it goes on after failures, and ends when it is told to."""

import asyncio
import logging

import pytest

from ollm.errors import StoreError
from ollm.store import upkeep as module
from ollm.store.partitions import DAY_MS
from ollm.store.reports import Reports
from ollm.store.retention import Kept
from ollm.store.upkeep import Upkeep
from tests.store.making import START, Database, entry, eventually


class Clock:
    def now(self) -> int:
        return self.now_ms() // 1000

    def now_ms(self) -> int:
        return START + 10 * DAY_MS

    def monotonic(self) -> float:
        return 0.0


async def test_entries_are_rolled_up_and_what_is_over_goes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "HOURLY_SECONDS", 0.02)
    async with database.open() as store:
        upkeep = Upkeep(store.engine, Kept(ledger=5), Clock())
        upkeep.start()
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(20)))
        await eventually(lambda: database.run("SELECT sum(requests) FROM rollups WHERE width = 3600") == [(20,)], seconds=5)
        await eventually(lambda: database.run("SELECT count(*) FROM ledger") == [(0,)], seconds=5)
        await upkeep.close()
        assert upkeep.trouble == {}
        assert await Reports(store.engine).behind() == 0


async def test_a_step_that_fails_is_told_once_and_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ROLL_SECONDS", 0.005)
    async with database.open() as store:
        upkeep = Upkeep(store.engine, Kept(), Clock())
        calls = 0

        def fail_thrice() -> None:
            nonlocal calls
            calls += 1
            if calls <= 3:
                raise StoreError("no luck", "try again")

        monkeypatch.setattr(upkeep, "roll", fail_thrice)
        with caplog.at_level(logging.WARNING):
            upkeep.start()
            await eventually(lambda: calls > 3)
            await eventually(lambda: upkeep.trouble == {})
            await upkeep.close()
        assert [record.message for record in caplog.records] == ["upkeep of the store failed"]


async def test_closing_waits_for_what_runs_and_for_nothing_else(database: Database) -> None:
    async with database.open() as store:
        upkeep = Upkeep(store.engine, Kept(), Clock())
        upkeep.start()
        async with asyncio.timeout(5):
            await upkeep.close()
        await upkeep.close()
