"""No column of the store can hold content, on PostgreSQL: proven on the migrated database, column by column, partitions among them."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import CheckViolation, DataError, IntegrityError

from ollm.store import schema
from ollm.store.dump import columns_of
from tests.servers.postgres import Postgres
from tests.store.making import CANARY
from tests.store.test_schema import BLOBS, LABELS, NUMBERS, VALID

pytestmark = [pytest.mark.slow, pytest.mark.process]
Connection = psycopg.Connection[tuple[str, ...]]
PARENTS = {"ledger_other": "ledger", "receipts_other": "receipts"}
_COLUMNS = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
_TABLES = f"{_COLUMNS} AND table_name IN (SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE')"


def spelled(expression: str) -> str:
    """`expression` of SQLite in PostgreSQL's words."""
    return re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", expression)


@pytest.fixture(scope="module")
def connection(postgres: Postgres, template: str) -> Iterator[Connection]:
    with psycopg.connect(postgres.dsn(postgres.database(template)), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers and no references: CHECKs alone are on trial
        for table in ("installation", "alembic_version", "rolled", "projects", "organisations"):
            connection.execute(f"DELETE FROM {table}".encode())
        yield connection


def columns(connection: Connection) -> list[tuple[str, str, str]]:
    """(table, column, type) of all columns there are; days are judged by the default partitions, which are made in the same way."""
    return [(table, column, kind) for table, column, kind in connection.execute(_TABLES.encode()) if not re.search(r"_[0-9]+$", table)]


def insert(connection: Connection, table: str, column: str, expression: str) -> None:
    mine = [(name, kind) for owner, name, kind in columns(connection) if owner == table]
    values = {name: (VALID if kind in ("text", "bytea") else NUMBERS).get(name, "'5'" if kind == "text" else "5") for name, kind in mine}
    values[column] = expression
    with connection.transaction(force_rollback=True):
        connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(map(spelled, values.values()))})".encode())


def test_tables_and_columns_are_those_of_the_schema(connection: Connection) -> None:
    found: dict[str, set[str]] = {}
    for table, column, _ in columns(connection):
        found.setdefault(table, set()).add(column)
    wanted = {table.name: set(columns_of(table)) for table in schema.metadata.sorted_tables}
    wanted |= {child: wanted[parent] for child, parent in PARENTS.items()} | {"alembic_version": {"version_num"}}
    assert found == wanted


def test_only_numbers_texts_and_known_bytes(connection: Connection) -> None:
    found = columns(connection)
    assert {kind for _, _, kind in found} == {"integer", "bigint", "text", "bytea"}
    assert {(PARENTS.get(table, table), column) for table, column, kind in found if kind == "bytea"} == BLOBS


def test_no_text_column_takes_content(connection: Connection) -> None:
    tried = 0
    for table, column, kind in columns(connection):
        if kind == "text" and (table, column) not in LABELS:
            insert(connection, table, column, VALID.get(column, "'5'"))  # the row is fine but for what comes next
            for content in (CANARY, "ä", "a b", "", "x\n"):
                with pytest.raises(CheckViolation):
                    insert(connection, table, column, f"'{content}'")
            tried += 1
    assert tried >= 40


def test_no_text_is_longer_than_its_column_allows(connection: Connection) -> None:
    for table, column, kind in columns(connection):
        if kind == "text":
            with pytest.raises(CheckViolation):
                insert(connection, table, column, f"repeat('a', {schema.MAX_TERMS + 1})")


@pytest.mark.parametrize("table", sorted(table for table, _ in LABELS))
def test_names_that_admins_give_are_labels_of_64_plain_characters(connection: Connection, table: str) -> None:
    insert(connection, table, "name", "'Billing EU 2'")
    for name in (CANARY, "a\nb", "a" * 65, "ä"):
        with pytest.raises(CheckViolation):
            insert(connection, table, "name", f"'{name}'")


def test_no_number_column_takes_text(connection: Connection) -> None:
    for table, column, kind in columns(connection):
        if kind in ("integer", "bigint"):
            with pytest.raises(DataError):
                insert(connection, table, column, f"'{CANARY}'")


def test_all_bytes_are_bounded(connection: Connection) -> None:
    for table, column in BLOBS:
        insert(connection, table, column, VALID[column])
        for size in (0, schema.MAX_DOCUMENT + 1):
            with pytest.raises(CheckViolation):
                insert(connection, table, column, f"zeroblob({size})")


def test_rows_of_what_was_done_are_never_changed(postgres: Postgres, template: str) -> None:
    mine = {"ledger": "request_id, key, project, endpoint, status, http_status, streamed, started_ms, estimated, count_mismatch"}
    with psycopg.connect(postgres.dsn(postgres.database(template)), autocommit=True) as database:
        rest = [*(name for name in columns_of(schema.ledger) if name.endswith(("_tokens", "_us"))), "images", "audio_ms", "characters"]
        values = f"'{'a' * 32}', 1, 1, 1, 'completed', 200, 0, 1, 0, 0" + ", 0" * len(rest)
        database.execute(f"INSERT INTO ledger ({mine['ledger']}, {', '.join(rest)}) VALUES ({values})".encode())
        database.execute(f"INSERT INTO receipts VALUES ('{'a' * 32}', '\\x00')".encode())
        database.execute(f"INSERT INTO sessions VALUES ('{'a' * 64}', 'u', 1, '\\x00')".encode())
        database.execute(b"INSERT INTO names (kind, name) VALUES ('key', 'k')")
        for statement in (
            *("UPDATE ledger SET cost_micro = 0", "DELETE FROM ledger", "DELETE FROM ledger_other", "DELETE FROM receipts"),
            *("UPDATE receipts SET sealed = '\\x01'", "UPDATE sessions SET expires_at = 2", "UPDATE names SET name = 'other'"),
        ):
            with pytest.raises(IntegrityError, match="never changed"):
                database.execute(statement.encode())
