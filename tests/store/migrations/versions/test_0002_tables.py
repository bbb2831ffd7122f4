"""What the first revision builds is what the schema says, with its triggers and its view."""

import sqlite3
from pathlib import Path

from sqlalchemy import create_engine

from ollm.store.schema import ledger_text, metadata
from ollm.store.sqlite import Store
from tests.store.making import raw


def tables(connection: sqlite3.Connection) -> dict[str, str]:
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name != 'alembic_version'")
    return {name: " ".join(sql.split()) for name, sql in found}


async def test_tables_are_those_of_the_schema(store: Store, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/made.db")
    metadata.create_all(engine)
    engine.dispose()
    migrated, made = raw(tmp_path), sqlite3.connect(tmp_path / "made.db")
    assert tables(migrated) == tables(made)
    assert len(tables(made)) == 15
    migrated.close()
    made.close()


async def test_the_view_has_the_columns_that_reports_read(store: Store, tmp_path: Path) -> None:
    database = raw(tmp_path)
    assert {row[1] for row in database.execute("PRAGMA table_info(ledger_text)")} == {column.name for column in ledger_text.columns}
    database.close()


async def test_every_trigger_is_there(store: Store, tmp_path: Path) -> None:
    database = raw(tmp_path)
    assert sorted(name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")) == [
        *(f"api_keys_counts_{event}" for event in ("delete", "insert", "update")),
        *("audit_refuses_delete", "audit_refuses_update", "ledger_refuses_delete", "ledger_refuses_update", "names_refuses_update"),
        *(f"{table}_counts_{event}" for table in ("organisations", "projects") for event in ("delete", "insert", "update")),
        *("receipts_refuses_delete", "receipts_refuses_update"),
        *(f"service_accounts_counts_{event}" for event in ("delete", "insert", "update")),
        "sessions_refuses_update",
        *(f"users_counts_{event}" for event in ("delete", "insert", "update")),
    ]
    database.close()
