"""A backup comes back whole, into either kind of database, and into no other than an empty one of its own row key."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ollm.errors import StoreError
from ollm.store.dump import backup
from ollm.store.keys import NewKey, authenticate
from ollm.store.reports import Question, Reports
from ollm.store.restore import restore
from ollm.store.rollups import Roller
from ollm.store.sqlite import Store, open_store
from tests.servers.postgres import Postgres
from tests.store.conftest import BOTH, place_on
from tests.store.making import PEPPER, ROW_KEY, START, Database, entry

DAY = 86_400


@pytest.fixture(params=BOTH)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens a new database, of either kind."""
    folder = tmp_path / "target"
    folder.mkdir()
    if request.param == "sqlite":
        yield lambda **options: open_store(folder / "ollm.db", **{"row_key": ROW_KEY, **options})
        return
    server: Postgres = request.getfixturevalue("postgres")
    place = place_on(server, server.database(request.getfixturevalue("template")))
    yield lambda **options: open_store(place, **{"row_key": ROW_KEY, "folder": folder, **options})


async def filled(database: Database, file: Path) -> tuple[str, list[Any], str]:
    """A key's text, all entries and the installation's id; some entries are rolled up."""
    async with database.open() as store:
        text, _ = await store.keys.create(NewKey(name="app", created_at=1), pepper=PEPPER)
        written = [entry(started_ms=START + number * 3_600_000, receipt=bytes([number])) for number in range(30)]
        for one in written[:20]:
            await store.ledger.complete(one)
        Roller(store.engine).run()
        await asyncio.gather(*(store.ledger.complete(one) for one in written[20:]))
        await store.sessions.put("5e" * 32, "enclave-1", 100, bytes(range(256)))
        backup(store.engine, file)
        return text, written, store.installation_id


async def test_everything_comes_back_and_counting_goes_on(database: Database, target: Callable[..., Store], tmp_path: Path) -> None:
    file = tmp_path / "backup"
    text, written, installation = await filled(database, file)
    async with target(role="admin") as store:
        restored = restore(store.engine, file, ROW_KEY)
    assert (restored.installation_id, restored.rows["ledger"], restored.rows["receipts"]) == (installation, 30, 30)
    async with target(installation_id=installation) as store:
        assert authenticate(text, store.keys, PEPPER, 2) is not None
        assert store.keys.rejected == ()
        assert [await store.ledger.find(one.request_id) for one in written] == written
        assert await store.sessions.get("5e" * 32) == bytes(range(256))
        await store.ledger.complete(after := entry(model="new-model"))
        assert (await store.ledger.recent(1))[0].request_id == after.request_id
        roller, first = Roller(store.engine), START // 1000 // DAY * DAY
        assert sum(roller.run() for _ in range(3)) == 11
        page = await Reports(store.engine).usage(Question(start=first, end=first + 7 * DAY))
        assert sum(row.requests for row in page.rows) == 31


async def test_another_row_key_is_refused_and_nothing_changes(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await filled(database, file)
    other = bytes(32)
    folder = tmp_path / "other"
    folder.mkdir()
    async with open_store(folder / "ollm.db", row_key=other, role="admin") as store:
        with pytest.raises(StoreError, match="another row key"):
            restore(store.engine, file, other)
        assert await store.keys.list() == []
        assert await store.ledger.recent(1) == []


async def test_a_database_that_holds_something_is_refused(database: Database, target: Callable[..., Store], tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await filled(database, file)
    async with target() as store:
        await store.ledger.complete(mine := entry())
        with pytest.raises(StoreError, match="isn't empty"):
            restore(store.engine, file, ROW_KEY)
        assert await store.ledger.find(mine.request_id) == mine


async def test_rows_that_somebody_changed_are_refused(database: Database, target: Callable[..., Store], tmp_path: Path) -> None:
    file = tmp_path / "backup"
    async with database.open() as store:
        await store.keys.create(NewKey(name="app", created_at=1), pepper=PEPPER)
        database.run("UPDATE api_keys SET require = 'zdr'")
        backup(store.engine, file)
    async with target(role="admin") as store:
        with pytest.raises(StoreError, match="whose MAC is not theirs: 1 of api_keys"):
            restore(store.engine, file, ROW_KEY)
        assert await store.keys.list() == []
