"""Transactions, turns, and errors that quote nothing."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from ollm.store.database import connect, has_turn, store_error, take_turn, writing
from tests.store.making import CANARY, Database


def test_errors_tell_the_code_and_never_quote_a_value(tmp_path: Path) -> None:
    engine = connect(tmp_path / "x.db")
    with writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE t (x TEXT CHECK (length(x) < 3))"))
    with pytest.raises(DatabaseError) as caught, writing(engine).begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": CANARY})
    error = store_error(caught.value, "storing")
    assert error.cause == "storing failed: SQLITE_CONSTRAINT_CHECK"
    assert CANARY not in str(error) + repr(error)
    assert store_error(sqlite3.OperationalError(CANARY), "x").cause == "x failed: SQLITE_ERROR"
    engine.dispose()


def test_ddl_is_rolled_back_with_its_transaction(tmp_path: Path) -> None:
    engine = connect(tmp_path / "x.db")
    with writing(engine).connect() as connection, connection.begin() as transaction:
        connection.execute(text("CREATE TABLE t (x TEXT)"))
        transaction.rollback()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar() == 0
    engine.dispose()


def test_writers_hold_the_lock_from_the_beginning(tmp_path: Path) -> None:
    engine = connect(tmp_path / "x.db")
    with writing(engine).begin() as connection:
        connection.execute(text("SELECT 1"))
        other = sqlite3.connect(tmp_path / "x.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("state", "mend"),
    [("23514", "may hold"), ("53300", "more connections"), ("57P01", "look at the server"), ("42501", "owner"), ("3D000", "createdb"), ("99999", "")],
)
def test_a_servers_errors_are_told_by_their_state(state: str, mend: str) -> None:
    class Raised(Exception):
        sqlstate = state

    error = store_error(Raised(CANARY), "storing")
    assert error.cause == f"storing failed: Raised ({state})"
    assert mend in error.mend
    assert CANARY not in str(error)


def test_a_server_that_is_not_there_is_said_so() -> None:
    class Raised(Exception):
        sqlstate = None

    assert "can't be reached" in store_error(Raised(CANARY), "storing").cause


async def test_of_two_that_take_a_turn_one_waits(database: Database) -> None:
    """On SQLite who writes has the turn; on PostgreSQL whoever holds the lock."""
    async with database.open(role="admin") as store:
        with writing(store.engine).begin() as connection:
            take_turn(connection, "rollups")
            assert has_turn(connection, "rollups")
            if database.kind == "postgresql":
                with writing(store.engine).begin() as other:
                    assert not has_turn(other, "rollups")
                    assert has_turn(other, "partitions")
