"""The writer on PostgreSQL: batches, several processes, and servers that go away in the middle."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store import server_writer as module
from ollm.store.rows import lost
from ollm.store.server_writer import ServerWriter
from ollm.store.sqlite import Store, open_store
from ollm.values.ledger import Status
from tests.servers.postgres import Postgres
from tests.store.conftest import place_on
from tests.store.making import ROW_KEY, Database, OnServer, entry, eventually, intent

pytestmark = [pytest.mark.slow, pytest.mark.process]


@pytest.fixture
def server(own_postgres: Callable[..., Postgres]) -> Postgres:
    return own_postgres()


@pytest.fixture
async def store(server: Postgres, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(place_on(server, server.database()), row_key=ROW_KEY, folder=tmp_path) as store:
        yield store


def writer_of(store: Store) -> ServerWriter:
    writer = store.ledger._writer
    assert isinstance(writer, ServerWriter)
    return writer


async def ids_of(store: Store) -> list[str]:
    return [row.request_id for row in await store.ledger.recent(1_000_000)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_a_server_that_restarts_amid_a_thousand_requests_loses_nothing_that_was_promised(
    store: Store, server: Postgres, how: signal.Signals
) -> None:
    acknowledged: list[str] = []

    async def caller(count: int) -> None:
        for _ in range(count):
            begun = intent()
            await store.ledger.intend(begun)
            await asyncio.sleep(0.001)
            await store.ledger.complete(entry(begun.request_id))
            acknowledged.append(begun.request_id)

    callers = [asyncio.get_running_loop().create_task(caller(20)) for _ in range(50)]
    await eventually(lambda: len(acknowledged) > 200, seconds=20)
    await asyncio.to_thread(server.restart, how)
    await asyncio.gather(*callers)
    assert len(acknowledged) == 1000
    stored = await ids_of(store)
    assert len(stored) == len(set(stored)) == 1000
    assert set(stored) == set(acknowledged)
    assert store.ledger.under_way == 0
    assert (await store.ledger.find(acknowledged[500])).receipt == b"sealed receipt"  # type: ignore[union-attr]


async def test_entries_wait_for_a_server_that_is_away(store: Store, server: Postgres) -> None:
    await asyncio.to_thread(server.stop)
    waiting = [asyncio.get_running_loop().create_task(store.ledger.complete(entry())) for _ in range(5)]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting)
    await store.ledger.intend(intent())  # requests go on meanwhile
    await asyncio.to_thread(server.start)
    await asyncio.gather(*waiting)
    assert len(await ids_of(store)) == 5


async def test_a_server_that_stays_away_is_told_and_no_new_request_is_taken_until_it_is_back(
    store: Store, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.3)
    await asyncio.to_thread(server.stop)
    begun = intent()
    await store.ledger.intend(begun)
    with pytest.raises(StoreError, match="can't be reached"):
        await store.ledger.complete(entry(begun.request_id))
    with pytest.raises(StoreError, match="can't be reached"):
        await store.ledger.intend(intent())
    assert store.ledger.under_way == 1  # it will be LOST if nothing better comes
    await asyncio.to_thread(server.start)

    def takes() -> bool:
        try:
            writer_of(store).check()
        except StoreError:
            return False
        return True

    await eventually(takes, seconds=10)  # by itself, though nobody writes
    await store.ledger.complete(entry(begun.request_id))
    assert store.ledger.under_way == 0


async def test_a_server_that_hangs_is_not_waited_for_beyond_measure(store: Store, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.ledger.complete(entry())
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    server.pause()
    task = asyncio.get_running_loop().create_task(store.ledger.complete(written := entry()))
    await asyncio.sleep(0.8)
    assert not task.done()
    server.go_on()
    monkeypatch.setattr(module, "ANSWER_SECONDS", 15.0)
    await task
    assert (await ids_of(store)).count(written.request_id) == 1


async def test_too_many_that_wait_are_too_many(store: Store, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    await asyncio.to_thread(server.stop)
    waiting = [asyncio.get_running_loop().create_task(store.ledger.complete(entry())) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(StoreError, match="can't be reached"):
        await store.ledger.complete(entry())
    await asyncio.to_thread(server.start)
    await asyncio.gather(*waiting)


async def test_batches_are_bounded_by_entries_and_by_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 7)
    monkeypatch.setattr(module, "MAX_BATCH_BYTES", 50_000)
    written = [entry(receipt=bytes([number]) * 20_000) for number in range(40)]
    await asyncio.gather(*(store.ledger.complete(one) for one in written))
    assert [await store.ledger.find(one.request_id) for one in written] == written


async def test_an_entry_that_the_server_alone_refuses_takes_no_other_along(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a rule in the database stricter than ours, each entry would stand for itself."""
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ledger ADD CONSTRAINT stricter CHECK (http_status < 500)")
    good = [entry() for _ in range(5)]
    results = await asyncio.gather(*(store.ledger.complete(one) for one in [*good[:3], entry(http_status=503), *good[3:]]), return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 3 + [StoreError] + [type(None)] * 2
    assert set(await ids_of(store)) == {one.request_id for one in good}


async def test_close_writes_what_waits(server: Postgres, tmp_path: Path) -> None:
    place = place_on(server, server.database())
    store = open_store(place, row_key=ROW_KEY, folder=tmp_path)
    await store.start()
    tasks = [asyncio.get_running_loop().create_task(store.ledger.complete(entry())) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    with pytest.raises(StoreError, match="isn't open"):
        await store.ledger.complete(entry())
    async with open_store(place, row_key=ROW_KEY, folder=tmp_path) as store:
        assert len(await ids_of(store)) == 20


async def test_process_durability_does_not_wait_for_the_servers_disk(server: Postgres, tmp_path: Path) -> None:
    place = place_on(server, server.database())
    for durability, commit in (("full", "on"), ("process", "off")):
        async with open_store(place, row_key=ROW_KEY, folder=tmp_path, durability=durability) as store:  # type: ignore[arg-type]
            await store.ledger.complete(entry())
            connection = writer_of(store)._connection
            assert connection is not None
            assert await (await connection.execute("SHOW synchronous_commit")).fetchone() == (commit,)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_several_gateways_write_one_ledger(database: Database) -> None:
    async with database.open(slot=0) as one, database.open(slot=1) as two, database.open(slot=2) as three:
        stores = (one, two, three)
        models = [f"model-{number}" for number in range(12)]  # the same new names in all of them at once
        written = [entry(model=model) for model in models for _ in range(20)]
        shared = entry()
        await asyncio.gather(*(stores[number % 3].ledger.complete(each) for number, each in enumerate(written)))
        await asyncio.gather(*(store.ledger.complete(shared) for store in stores))
        assert sorted(await ids_of(one)) == sorted(each.request_id for each in [*written, shared])
        with pytest.raises(StoreError, match="another gateway"):
            database.open(slot=1)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_what_a_dead_slot_left_behind_is_settled_by_whoever_starts_next(database: OnServer) -> None:
    begun = [intent() for _ in range(3)]
    for slot, one in enumerate(begun):
        async with database.open(slot=slot) as store:
            await store.ledger.intend(one)
    async with database.open(slot=1) as living:
        assert {row.request_id: row.status for row in await living.ledger.recent(10)} == {one.request_id: Status.LOST for one in begun}
        mine = intent()
        await living.ledger.intend(mine)
        async with database.open(slot=0) as other:
            assert mine.request_id not in await ids_of(other)  # its process lives
        await living.ledger.complete(entry(mine.request_id))


async def test_a_statement_that_is_sent_twice_counts_once(store: Store, server: Postgres) -> None:
    """As when the connection is lost after the server committed and before it said so."""
    written = [entry() for _ in range(10)]
    await asyncio.gather(*(store.ledger.complete(one) for one in written))
    await asyncio.gather(*(store.ledger.complete(one) for one in written))
    assert len(await ids_of(store)) == 10
    began = time.monotonic()
    await asyncio.gather(*(store.ledger.complete(one) for one in written), *(store.ledger.complete(entry()) for _ in range(10)))
    assert time.monotonic() - began < 10
    assert len(await ids_of(store)) == 20


async def test_who_was_taken_for_dead_is_told_and_the_row_of_the_loss_stands(store: Store) -> None:
    """Another gateway recorded the request as lost while this one was stalled: an answer without its row and receipt must not go out."""
    begun, other = intent(), intent()
    await store.ledger.intend(begun)
    await store.ledger.complete(lost(begun))
    with pytest.raises(StoreError, match="took this gateway for dead") as refused:
        await store.ledger.complete(entry(begun.request_id))
    assert "lease_seconds" in str(refused.value.mend)
    with pytest.raises(StoreError, match="took this gateway for dead"):
        await store.ledger.complete(entry(begun.request_id, receipt=None))
    async with asyncio.TaskGroup() as group:  # in one batch with others, which it takes nothing from
        again = group.create_task(_refusal(store, begun.request_id))
        group.create_task(store.ledger.complete(entry(other.request_id)))
    assert again.result() is not None
    rows = {row.request_id: row.status for row in await store.ledger.recent(10)}
    assert rows == {begun.request_id: Status.LOST, other.request_id: Status.COMPLETED}
    assert store.ledger.under_way == 0
    await store.ledger.complete(lost(begun))  # whoever finds it lost once more changes nothing


async def _refusal(store: Store, request_id: str) -> StoreError | None:
    try:
        await store.ledger.complete(entry(request_id))
    except StoreError as refusal:
        return refusal
    return None
