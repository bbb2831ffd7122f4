"""The contract of ports.Ledger. Nothing here knows what database it runs on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ollm.errors import StoreError
from ollm.ports import Ledger
from ollm.store.sqlite import Store
from ollm.values.ledger import Status
from ollm.values.usage import Usage
from tests.store.making import Database, entry, intent


@pytest.fixture(params=["full", "process"])
async def store(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Store]:
    async with database.open(durability=request.param) as store:
        yield store


async def test_an_intent_is_under_way_until_its_entry(store: Store) -> None:
    ledger: Ledger = store.ledger
    begun = intent()
    await ledger.intend(begun)
    assert store.ledger.under_way == 1
    assert await ledger.find(begun.request_id) is None
    await ledger.complete(entry(begun.request_id))
    assert store.ledger.under_way == 0
    found = await ledger.find(begun.request_id)
    assert found is not None
    assert found.status is Status.COMPLETED


async def test_a_refused_request_needs_no_intent(store: Store) -> None:
    refused = entry(status=Status.REFUSED, upstream=None, session_id=None)
    await store.ledger.complete(refused)
    assert await store.ledger.find(refused.request_id) == refused


async def test_completing_twice_keeps_the_first_row_and_receipt(store: Store) -> None:
    first = entry(receipt=None)
    await store.ledger.complete(first)
    await store.ledger.complete(entry(first.request_id, status=Status.CLIENT_GONE, receipt=b"second"))
    assert await store.ledger.find(first.request_id) == first
    assert len(await store.ledger.recent(10)) == 1


async def test_completing_twice_at_once_keeps_one_row(store: Store) -> None:
    twins = [entry("ab" * 16, total_us=number) for number in range(5)]
    others = [entry() for _ in range(5)]
    await asyncio.gather(*(store.ledger.complete(one) for pair in zip(twins, others, strict=True) for one in pair))
    assert await store.ledger.find("ab" * 16) == twins[0]
    for other in others:
        assert await store.ledger.find(other.request_id) == other
    assert len(await store.ledger.recent(100)) == 6


async def test_hundreds_at_once_are_all_there_once(store: Store) -> None:
    async def request() -> str:
        begun = intent()
        await store.ledger.intend(begun)
        await asyncio.sleep(0)
        await store.ledger.complete(entry(begun.request_id))
        return begun.request_id

    acknowledged = await asyncio.gather(*(request() for _ in range(500)))
    rows = await store.ledger.recent(1000)
    assert sorted(row.request_id for row in rows) == sorted(acknowledged)
    assert store.ledger.under_way == 0


async def test_one_bad_entry_does_not_take_others_along(store: Store) -> None:
    good = [entry() for _ in range(3)]
    bad = [entry(model="no such name!"), entry(request_id="short"), entry(usage=Usage(input_tokens=-1)), entry(receipt=b""), entry(level="none")]
    bad += [entry(cost_micro=2**63), entry(model="\ud800"), entry(usage=None), entry(http_status="200 OK"), entry(verify_us=object())]
    results = await asyncio.gather(*(store.ledger.complete(one) for one in [*good, *bad]), return_exceptions=True)
    assert results[:3] == [None] * 3
    for result in results[3:]:
        assert isinstance(result, StoreError)
        assert "may hold" in result.cause
    assert {row.request_id for row in await store.ledger.recent(10)} == {one.request_id for one in good}
    await store.ledger.complete(after := entry())
    assert await store.ledger.find(after.request_id) == after


async def test_a_caller_that_stops_waiting_does_not_take_the_row_along(store: Store) -> None:
    written, other = entry(), entry()
    task = asyncio.get_running_loop().create_task(store.ledger.complete(written))
    await asyncio.sleep(0)
    task.cancel()
    await store.ledger.complete(other)
    assert task.cancelled()
    assert await store.ledger.find(written.request_id) == written


async def test_intents_without_an_entry_are_lost_at_the_next_start(database: Database) -> None:
    dead, done = intent(), intent()
    async with database.open() as store:
        await store.ledger.intend(dead)
        await store.ledger.intend(done)
        await store.ledger.complete(entry(done.request_id))
    for _ in range(2):
        async with database.open() as store:
            rows = {row.request_id: row.status for row in await store.ledger.recent(10)}
            assert rows == {dead.request_id: Status.LOST, done.request_id: Status.COMPLETED}
            assert store.ledger.under_way == 0


async def test_a_lost_request_that_completes_after_all_stays_lost(database: Database) -> None:
    dead = intent()
    async with database.open() as store:
        await store.ledger.intend(dead)
    async with database.open() as store:
        with pytest.raises(StoreError, match="recorded the request as lost"):  # who completes it must not think that it is recorded
            await store.ledger.complete(entry(dead.request_id))
        found = await store.ledger.find(dead.request_id)
        assert found is not None
        assert found.status is Status.LOST


async def test_recent_is_newest_first_by_key_and_without_receipts(store: Store) -> None:
    written = [entry(key_id=key) for key in ("a1", "b2", "a1", "b2")]
    for one in written:
        await store.ledger.complete(one)
    assert [row.request_id for row in await store.ledger.recent(3)] == [one.request_id for one in reversed(written[1:])]
    mine = await store.ledger.recent(10, key_id="a1")
    assert [row.request_id for row in mine] == [written[2].request_id, written[0].request_id]
    assert all(row.receipt is None for row in mine)
    assert await store.ledger.recent(10, key_id="unknown") == []


async def test_administration_reads_and_never_writes(database: Database) -> None:
    async with database.open() as gateway, database.open(role="admin") as admin:
        await gateway.ledger.complete(written := entry())
        assert await admin.ledger.find(written.request_id) == written
        with pytest.raises(StoreError, match="isn't open for serving"):
            await admin.ledger.intend(intent())
        with pytest.raises(StoreError, match="isn't open for serving"):
            await admin.ledger.complete(entry())
