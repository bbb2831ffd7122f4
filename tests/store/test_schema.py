"""No column of the store can hold content. Proven on the migrated database, column by column."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollm.store import schema
from ollm.store.sqlite import open_store
from tests.store.making import CANARY, ROW_KEY, raw, url

SUBJECTS = ("api_keys", "organisations", "projects", "service_accounts", "users", "memberships", "audit")
LABELS = {(table, "name") for table in SUBJECTS[:5]}  # names that admins give
# Columns that may hold bytes, and what these are.
BLOBS = {
    ("installation", "row_key_check"),  # a MAC
    ("api_keys", "mac"),  # a MAC
    *((table, "row_mac") for table in SUBJECTS),  # MACs
    ("audit", "digest"),  # over the entry and the one before it
    ("receipts", "sealed"),  # encrypted under a key of the caller's
    ("sessions", "document"),  # evidence about a provider's machine
}
VALID = {
    "kind": "'key'", "name": "'abc'", "request_id": f"'{'a' * 32}'", "session_id": f"'{'a' * 64}'", "installation_id": f"'{'a' * 32}'",
    "level": "'tee'", "tier": "'flex'", "require": "'tee'", "status": "'completed'", "key_id": "'abc'", "upstream": "'abc'", "version_num": "'0002'",
    "row_key_check": "zeroblob(32)", "mac": "zeroblob(32)", "row_mac": "zeroblob(32)", "sealed": "zeroblob(9)",
    "role": "'member'", "action": "'project.created'", "terms": "'{}'", "detail": "'{}'", "digest": "zeroblob(32)", "org_id": "'org_a'",
    "document": "zeroblob(9)",
}  # fmt: skip
NUMBERS = {"streamed": "0", "estimated": "0", "count_mismatch": "0", "one": "1", "width": "3600"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    asyncio.run(open_store(url(tmp_path), row_key=ROW_KEY, role="admin").close())
    connection = raw(tmp_path)
    connection.execute("DELETE FROM installation")
    connection.execute("DELETE FROM rolled")
    connection.execute("DELETE FROM alembic_version")
    yield connection
    connection.close()


def columns(database: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(table, column, type) of all columns there are."""
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [(table, row[1], row[2]) for table in tables for row in database.execute(f"PRAGMA table_info({table})")]


def insert(database: sqlite3.Connection, table: str, column: str, expression: str) -> None:
    values = {name: VALID.get(name, "5") for owner, name, kind in columns(database) if owner == table and kind != "INTEGER"}
    values |= {name: NUMBERS.get(name, "5") for owner, name, kind in columns(database) if owner == table and kind == "INTEGER"}
    values[column] = expression
    database.execute("BEGIN")
    try:
        database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    finally:
        database.execute("ROLLBACK")


def test_every_table_is_strict(database: sqlite3.Connection) -> None:
    for name, sql in database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
        assert sql.rstrip().endswith("STRICT"), name


def test_only_numbers_bounded_texts_and_known_blobs(database: sqlite3.Connection) -> None:
    found = columns(database)
    assert {kind for _, _, kind in found} == {"INTEGER", "TEXT", "BLOB"}
    assert {(table, column) for table, column, kind in found if kind == "BLOB"} == BLOBS


def test_every_text_column_has_a_check_on_characters_and_length_or_a_list(database: sqlite3.Connection) -> None:
    texts = [(table, column) for table, column, kind in columns(database) if kind == "TEXT"]
    assert len(texts) == 41
    for table, column in texts:
        (sql,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        bounded = re.search(rf"CHECK \(length\({column}\) BETWEEN \d+ AND (\d+) AND trim\({column}, '[ -~]+'\) = ''\)", sql)
        listed = re.search(rf"CHECK \({column} IN \('[a-z_', ]+'\)\)", sql)
        assert listed or (bounded and int(bounded[1]) <= (schema.MAX_TERMS if column in ("terms", "detail") else 128)), (table, column)


def test_no_text_column_takes_content(database: sqlite3.Connection) -> None:
    for table, column, kind in columns(database):
        if kind != "TEXT" or (table, column) in LABELS:
            continue
        insert(database, table, column, VALID.get(column, "5"))  # the row is fine but for what comes next
        for content in (CANARY, "x\x00" + CANARY, "ä", "a b", ""):
            literal = f"CAST(x'{content.encode().hex()}' AS TEXT)"
            with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
                insert(database, table, column, literal)


@pytest.mark.parametrize("table", sorted(table for table, _ in LABELS))
def test_names_that_admins_give_are_labels_of_64_plain_characters(database: sqlite3.Connection, table: str) -> None:
    insert(database, table, "name", "'Billing EU 2'")
    for name in (CANARY, "a\nb", "a" * 65, "ä"):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
            insert(database, table, "name", f"CAST(x'{name.encode().hex()}' AS TEXT)")


def test_terms_have_no_room_for_sentences(database: sqlite3.Connection) -> None:
    insert(database, "projects", "terms", """'{"models":["small"],"limits":[{"requests_per_minute":3}]}'""")
    for terms in ('{"a": "b c"}', "{\\u0041}", "{'a'}", "{" + "x" * schema.MAX_TERMS + "}"):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
            insert(database, "projects", "terms", f"CAST(x'{terms.encode().hex()}' AS TEXT)")


def test_kinds_of_names_have_their_own_characters_and_lengths(database: sqlite3.Connection) -> None:
    for kind, (charset, longest) in schema.KINDS.items():
        database.execute("INSERT INTO names (kind, name) VALUES (?, ?)", (kind, charset[0] * longest))
        for name in (charset[0] * (longest + 1), charset[0] + "!"):
            with pytest.raises(sqlite3.IntegrityError):
                database.execute("INSERT INTO names (kind, name) VALUES (?, ?)", (kind, name))


def test_no_number_column_takes_text(database: sqlite3.Connection) -> None:
    for table, column, kind in columns(database):
        if kind == "INTEGER":
            with pytest.raises(sqlite3.IntegrityError):
                insert(database, table, column, f"'{CANARY}'")


def test_every_blob_is_bounded(database: sqlite3.Connection) -> None:
    for table, column in BLOBS:
        insert(database, table, column, VALID[column])
        for size in (0, schema.MAX_DOCUMENT + 1):
            with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
                insert(database, table, column, f"zeroblob({size})")


def test_ledger_sessions_and_names_are_never_changed(database: sqlite3.Connection) -> None:
    database.execute(f"INSERT INTO sessions VALUES ('{'a' * 64}', 'u', 1, x'00')")
    database.execute("INSERT INTO names (kind, name) VALUES ('key', 'k')")
    values = {name: VALID.get(name, "1") for owner, name, kind in columns(database) if owner == "ledger" and kind == "TEXT"}
    values |= {name: "1" for owner, name, kind in columns(database) if owner == "ledger" and kind == "INTEGER"}
    database.execute(f"INSERT INTO ledger ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    database.execute("INSERT INTO receipts VALUES (1, x'00')")
    for statement in (
        "UPDATE ledger SET cost_micro = 0",
        "DELETE FROM ledger",
        "DELETE FROM receipts",
        "UPDATE receipts SET sealed = x'01'",
        "UPDATE sessions SET expires_at = 2",
        "UPDATE names SET name = 'other'",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            database.execute(statement)
