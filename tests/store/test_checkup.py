"""What `ollm db check` finds: nothing in a healthy database, and each defect by its check."""

import asyncio

import pytest

from ollm.store.checkup import examine
from ollm.store.keys import NewKey
from ollm.store.partitions import DAY_MS
from ollm.store.retention import Kept, let_go
from ollm.store.rollups import Roller
from tests.store.making import PEPPER, ROW_KEY, START, Database, entry


async def found(database: Database) -> dict[str, bool]:
    async with database.open(role="admin") as store:
        return {finding.check: finding.ok for finding in examine(store.engine, ROW_KEY)}


async def test_a_healthy_database_passes_every_check(database: Database) -> None:
    async with database.open() as store:
        await store.keys.create(NewKey(name="app", created_at=1), pepper=PEPPER)
        await asyncio.gather(*(store.ledger.complete(entry(started_ms=START)) for _ in range(5)))
        if database.kind == "postgresql":
            assert not (await found(database))["every row is in its day"]  # the tests' entries are of 2023
            database.run("TRUNCATE ledger_other, receipts_other")
        Roller(store.engine).run()
        checks = await found(database)
        assert all(checks.values()), checks
        assert len(checks) == (6 if database.kind == "postgresql" else 4)
        let_go(store.engine, Kept(ledger=1), START + 5 * DAY_MS, pause=lambda seconds: None)
        assert all((await found(database)).values())


@pytest.mark.parametrize(
    ("defect", "check"),
    [
        ("UPDATE api_keys SET role = 'owner'", "rows have their own MAC"),
        ("UPDATE rollups SET cost_micro = cost_micro + 1 WHERE width = 3600", "roll-ups equal the ledger"),
        ("DELETE FROM rollups WHERE width = 86400", "roll-ups equal the ledger"),
        ("UPDATE rolled SET entry = 2", "roll-ups equal the ledger"),
    ],
)
async def test_defects_are_found(database: Database, defect: str, check: str) -> None:
    async with database.open() as store:
        await store.keys.create(NewKey(name="app", created_at=1), pepper=PEPPER)
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(5)))
        Roller(store.engine).run()
        database.run(defect)
        assert not (await found(database))[check]
