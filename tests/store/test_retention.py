"""What is over goes, day by day, and nothing else does."""

import asyncio
from typing import Any

import pytest

from ollm.errors import StoreError
from ollm.store import retention as module
from ollm.store.partitions import DAY_MS, make_ahead
from ollm.store.retention import Kept, let_go
from ollm.store.rollups import Roller
from ollm.store.sqlite import Store
from tests.store.making import Database, entry, request_id

TODAY = 20_000  # days since 1970
NOW = TODAY * DAY_MS + 5


async def days_written(store: Store, database: Database, days: range, each: int = 3) -> None:
    if database.kind == "postgresql":
        make_ahead(store.engine, now_ms=TODAY * DAY_MS - 8 * DAY_MS, ahead=12)
    for day in days:
        ms = day * DAY_MS + 1000
        await asyncio.gather(*(store.ledger.complete(entry(request_id(ms), started_ms=ms)) for _ in range(each)))


def days_of(database: Database, rows: str) -> dict[int, int]:
    found = database.run(f"SELECT started_ms / {DAY_MS}, count(*) FROM {rows} GROUP BY 1 ORDER BY 1")
    return {int(day): int(count) for day, count in found}


async def test_whole_days_go_and_receipts_before_their_entries(database: Database) -> None:
    async with database.open() as store:
        await days_written(store, database, range(TODAY - 9, TODAY + 1))
        Roller(store.engine).run()
        let_go(store.engine, Kept(ledger=5, receipts=2), NOW, pause=lambda seconds: None)
        assert days_of(database, "ledger") == dict.fromkeys(range(TODAY - 5, TODAY + 1), 3)
        assert days_of(database, "ledger_text WHERE receipt IS NOT NULL") == dict.fromkeys(range(TODAY - 2, TODAY + 1), 3)
        again = let_go(store.engine, Kept(ledger=5, receipts=2), NOW, pause=lambda seconds: None)
        assert (again.ledger, again.receipts) == (0, 0)
        (sums,) = database.run("SELECT sum(requests) FROM rollups WHERE width = 86400")
        assert sums == (30,)  # what is in the roll-ups stays


async def test_what_is_kept_for_ever_is_kept(database: Database) -> None:
    async with database.open() as store:
        await days_written(store, database, range(TODAY - 2, TODAY))
        Roller(store.engine).run()
        assert let_go(store.engine, Kept(), NOW) == module.Gone(0, 0, 0)
        assert sum(days_of(database, "ledger").values()) == 6


async def test_entries_that_are_not_rolled_up_stay(database: Database) -> None:
    async with database.open() as store:
        await days_written(store, database, range(TODAY - 9, TODAY - 7))
        let_go(store.engine, Kept(ledger=1), NOW, pause=lambda seconds: None)
        assert sum(days_of(database, "ledger").values()) == 6
        Roller(store.engine).run()
        let_go(store.engine, Kept(ledger=1), NOW, pause=lambda seconds: None)
        assert days_of(database, "ledger") == {}


async def test_rows_that_are_kept_can_not_be_deleted_by_anyone(database: Database) -> None:
    async with database.open() as store:
        await days_written(store, database, range(TODAY - 9, TODAY + 1))
        Roller(store.engine).run()
        let_go(store.engine, Kept(ledger=5), NOW, pause=lambda seconds: None)
        for table in ("receipts", "ledger"):
            with pytest.raises(Exception, match="never changed"):
                database.run(f"DELETE FROM {table}")


async def test_the_border_never_goes_back(database: Database) -> None:
    async with database.open() as store:
        let_go(store.engine, Kept(ledger=5, receipts=2), NOW)
        let_go(store.engine, Kept(ledger=50), NOW)
        assert database.run("SELECT ledger_from_ms, receipts_from_ms FROM installation") == [((TODAY - 5) * DAY_MS, (TODAY - 2) * DAY_MS)]


async def test_sessions_go_when_no_receipt_can_name_them(database: Database) -> None:
    async with database.open() as store:
        old, young = "1a" * 32, "2b" * 32
        await store.sessions.put(old, "u", (TODAY - 30) * 86_400, b"x")
        await store.sessions.put(young, "u", (TODAY - 6) * 86_400, b"x")
        assert let_go(store.engine, Kept(receipts=5), NOW).sessions == 1
        assert [await store.sessions.get(one) for one in (old, young)] == [None, b"x"]


async def test_the_writer_gets_its_turn_between_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    async with database.open() as store:
        await days_written(store, database, range(TODAY - 9, TODAY - 7), each=20)
        Roller(store.engine).run()
        going = asyncio.to_thread(let_go, store.engine, Kept(ledger=1), NOW)
        task = asyncio.get_running_loop().create_task(going)
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(30)))
        await task
        assert sum(days_of(database, "ledger").values()) == 30


async def test_who_is_told_to_stop_has_lost_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    ms = (TODAY - 9) * DAY_MS
    await asyncio.gather(*(store.ledger.complete(entry(request_id(ms), started_ms=ms)) for _ in range(20)))
    Roller(store.engine).run()

    def stop(seconds: float) -> Any:
        raise StoreError("the store closes")

    with pytest.raises(StoreError, match="closes"):
        let_go(store.engine, Kept(ledger=1), NOW, pause=stop)
    assert let_go(store.engine, Kept(ledger=1), NOW, pause=lambda seconds: None).ledger == 20
