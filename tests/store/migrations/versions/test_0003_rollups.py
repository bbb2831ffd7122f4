"""The second revision: what is rolled up begins at nothing, on both databases."""

from ollm.store.schema import key_uses, rolled, rollups
from tests.store.making import Database


async def test_roll_ups_begin_empty(database: Database) -> None:
    async with database.open(role="admin"):
        assert database.run("SELECT entry FROM rolled") == [(0,)]
        for table in (rollups, key_uses):
            assert database.run(f"SELECT count(*) FROM {table.name}") == [(0,)]


async def test_columns_are_those_of_the_schema(database: Database) -> None:
    async with database.open(role="admin"):
        for table in (rollups, rolled, key_uses):
            database.run(f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.name}")  # each is there
