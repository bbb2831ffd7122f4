"""Roll-ups: each entry exactly once, whoever works at the same time, wherever one dies."""

import asyncio
from typing import Any

import psycopg
import pytest

from ollm.store import rollups as module
from ollm.store.rollups import Roller
from ollm.values.ledger import Status
from ollm.values.usage import Usage
from tests.store.making import START, Database, OnServer, entry

HOUR = 3_600_000
SUMS = "SELECT sum(requests), sum(cost_micro), sum(input_tokens) FROM rollups WHERE width = "


def summed(database: Database, width: int) -> tuple[int, ...]:
    (row,) = database.run(SUMS + str(width))
    return tuple(int(value or 0) for value in row)


async def written(store: Any, count: int, **changed: Any) -> None:
    await asyncio.gather(*(store.ledger.complete(entry(**changed)) for _ in range(count)))


async def test_sums_by_hour_and_day_equal_the_ledger(database: Database) -> None:
    async with database.open() as store:
        await written(store, 7)
        await written(store, 3, started_ms=START + 30 * HOUR, cost_micro=None)
        assert Roller(store.engine).run() == 10
        assert Roller(store.engine).run() == 0
        assert summed(database, 3600) == summed(database, 86_400) == (10, 7 * 1234, 100)
        spans = database.run("SELECT width, start, requests, unpriced FROM rollups ORDER BY width, start")
        first, second = START // 1000, (START + 30 * HOUR) // 1000
        assert spans == [
            (width, start - start % width, count, bad) for width in (3600, 86_400) for start, count, bad in ((first, 7, 0), (second, 3, 3))
        ]
        assert database.run("SELECT last_ms FROM key_uses") == [(START + 30 * HOUR,)]


async def test_small_batches_add_up(database: Database) -> None:
    async with database.open() as store:
        await written(store, 25)
        assert Roller(store.engine, batch=4).run(batches=2) == 8
        assert summed(database, 3600)[0] == 8
        assert Roller(store.engine, batch=4).run() == 17
        await written(store, 2)
        assert Roller(store.engine, batch=4).run() == 2
        assert summed(database, 86_400)[0] == 27


async def test_statuses_have_a_place_each(database: Database) -> None:
    async with database.open() as store:
        for status in Status:
            await store.ledger.complete(entry(status=status, model=None, level=None, upstream=None, usage=Usage(tier="flex")))
        Roller(store.engine).run()
        row = database.run("SELECT requests, completed, refused, client_gone, failed, model, upstream, level, tier FROM rollups WHERE width = 3600")
        assert row == [(5, 1, 1, 1, 2, 0, 0, "none", "flex")]


async def test_of_two_that_work_at_once_each_entry_is_added_by_one(database: Database) -> None:
    async with database.open() as store:
        await written(store, 60)
        done = await asyncio.gather(*(asyncio.to_thread(Roller(store.engine, batch=7).run) for _ in range(4)))
        for _ in range(10):  # who lost a race stopped; somebody goes on
            done.append(Roller(store.engine, batch=7).run())
        assert sum(done) == 60
        assert summed(database, 3600)[0] == 60


async def test_who_dies_between_the_sums_and_their_mark_has_added_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with database.open() as store:
        await written(store, 5)

        def die(*arguments: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(module, "_use", die)
            with pytest.raises(KeyboardInterrupt):
                Roller(store.engine).run()
        assert summed(database, 3600) == (0, 0, 0)
        assert Roller(store.engine).run() == 5
        assert summed(database, 3600)[0] == 5


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_an_entry_whose_transaction_ends_late_is_not_passed_over(database: OnServer) -> None:
    """A number is drawn, others commit behind it, a roll-up runs, and only then it commits."""
    async with database.open() as store:
        await written(store, 1)
        columns = "key, project, endpoint, model, upstream, level, session, status, http_status, streamed, started_ms, input_tokens, cached_tokens, "
        columns += "cache_write_tokens, cache_write_long_tokens, audio_input_tokens, image_input_tokens, output_tokens, reasoning_tokens, "
        columns += "audio_output_tokens, image_output_tokens, images, audio_ms, characters, estimated, count_mismatch, cost_micro, price, verify_us, "
        columns += "headers_us, first_us, total_us"
        with psycopg.connect(database.dsn) as late:
            late.execute(f"INSERT INTO ledger (request_id, {columns}) SELECT '{'ab' * 16}', {columns} FROM ledger".encode())
            await written(store, 3)
            roller = Roller(store.engine)
            assert roller.run() == 0  # not even what has committed behind it
            assert roller.run() == 0
            late.commit()
        assert sum(roller.run() for _ in range(3)) == 5
        assert summed(database, 3600)[0] == 5
