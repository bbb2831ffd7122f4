"""Days on PostgreSQL: made ahead, found again, dropped when they are over and in the roll-ups."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store.partitions import DAY_MS, Day, days_of, drop_before, first_id, make_ahead, make_days, require_fsync, server_ms
from ollm.store.rollups import Roller
from ollm.store.sqlite import open_store
from tests.servers.postgres import Postgres
from tests.store.conftest import place_on
from tests.store.making import ROW_KEY, Database, entry

TODAY = 20_000  # days since 1970
server_only = [pytest.mark.slow, pytest.mark.process, pytest.mark.parametrize("database", ["postgresql"], indirect=True)]


def request_on(day: int, ms: int = 0) -> str:
    return f"{first_id(day * DAY_MS + ms)}{os.urandom(10).hex()}"


def test_a_day_is_a_range_of_ids() -> None:
    first, end = Day("ledger", 1).bounds
    assert (first, end) == ("000005265c00", "00000a4cb800")
    assert first <= request_on(1) < request_on(1, DAY_MS - 1) < end <= request_on(2)
    assert Day("receipts", 7).name == "receipts_7"


class TestOnAServer:
    pytestmark = server_only

    async def test_days_are_made_ahead_once(self, database: Database) -> None:
        async with database.open(role="admin") as store:
            with store.engine.begin() as connection:
                today = server_ms(connection) // DAY_MS
                assert [day.number - today for day in days_of(connection, "ledger")] == [-1, 0, 1, 2, 3]
                assert [day.number for day in days_of(connection, "receipts")] == [day.number for day in days_of(connection, "ledger")]
            assert make_ahead(store.engine) == []
            made = make_ahead(store.engine, now_ms=TODAY * DAY_MS, ahead=1)
            assert [(day.table, day.number - TODAY) for day in made] == [(table, day) for table in ("ledger", "receipts") for day in (-1, 0, 1)]

    async def test_a_row_goes_to_its_day_and_what_has_none_to_the_default(self, database: Database) -> None:
        async with database.open() as store:
            make_ahead(store.engine, now_ms=TODAY * DAY_MS)
            here, nowhere = entry(request_on(TODAY)), entry(request_on(TODAY + 100))
            await asyncio.gather(store.ledger.complete(here), store.ledger.complete(nowhere))
            assert database.run(f"SELECT request_id FROM ledger_{TODAY}") == [(here.request_id,)]
            assert database.run(f"SELECT request_id FROM receipts_{TODAY}") == [(here.request_id,)]
            assert database.run("SELECT request_id FROM ledger_other") == [(nowhere.request_id,)]
            assert make_ahead(store.engine, now_ms=(TODAY + 100) * DAY_MS, ahead=0) == [Day("ledger", TODAY + 99), Day("receipts", TODAY + 99)]
            with store.engine.begin() as connection:
                make_days(connection, [request_on(TODAY + 100), request_on(TODAY + 50)])
                assert Day("ledger", TODAY + 50) in days_of(connection, "ledger")
                assert Day("ledger", TODAY + 100) not in days_of(connection, "ledger")

    async def test_many_that_make_days_at_once_make_each_once(self, database: Database) -> None:
        async with database.open(role="admin") as store:
            made = await asyncio.gather(*(asyncio.to_thread(make_ahead, store.engine, now_ms=TODAY * DAY_MS) for _ in range(4)))
            assert sorted(len(days) for days in made) == [0, 0, 0, 10]

    async def test_a_day_is_dropped_once_it_is_over_and_rolled_up(self, database: Database) -> None:
        async with database.open() as store:
            make_ahead(store.engine, now_ms=TODAY * DAY_MS)
            await asyncio.gather(*(store.ledger.complete(entry(request_on(TODAY))) for _ in range(5)))
            over = (TODAY + 1) * DAY_MS
            assert drop_before(store.engine, "ledger", over - 1) == 1  # the day before: it is empty
            assert drop_before(store.engine, "ledger", over) == 0
            Roller(store.engine).run()
            assert drop_before(store.engine, "receipts", over) == 2
            assert drop_before(store.engine, "ledger", over) == 1
            assert await store.ledger.recent(10) == []

    async def test_a_server_that_may_lose_what_it_confirmed_is_refused(
        self, database: Database, own_postgres: Callable[..., Postgres], tmp_path: Path
    ) -> None:
        async with database.open(role="admin") as store:
            require_fsync(store.engine)
        server = own_postgres("fsync=off")
        place = place_on(server, server.database())
        with pytest.raises(StoreError, match="runs with fsync off"):
            open_store(place, row_key=ROW_KEY, folder=tmp_path)
        await open_store(place, row_key=ROW_KEY, folder=tmp_path, durability="process").close()
