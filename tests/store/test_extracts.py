"""The ledger in pages, for exports: in the order of completion, without receipts."""

from ollm.store import extracts
from ollm.store.sqlite import Store
from tests.store.making import START, entry


async def page(store: Store, **options: int) -> list[int]:
    rows = await store.administration.read(lambda view: extracts.entries(view.connection, **options))
    return [row["entry"] for row in rows]


async def test_pages(store: Store) -> None:
    for number in range(5):
        await store.ledger.complete(entry(started_ms=START + number))
    assert await page(store) == [1, 2, 3, 4, 5]
    assert await page(store, limit=2) == [1, 2]
    assert await page(store, after=2, limit=2) == [3, 4]
    assert await page(store, start_ms=START + 3) == [4, 5]
    assert await page(store, start_ms=START + 1, end_ms=START + 3) == [2, 3]


async def test_no_receipt_is_among_the_columns(store: Store) -> None:
    await store.ledger.complete(entry(receipt=b"sealed"))
    (row,) = await store.administration.read(lambda view: extracts.entries(view.connection))
    assert tuple(row) == extracts.COLUMNS
    assert "receipt" not in row
    assert b"sealed" not in row.values()
