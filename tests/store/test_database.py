"""URLs of stores, and errors that quote nothing."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.database import connect, database_path, store_error, writing
from tests.store.making import CANARY


def test_urls_name_files() -> None:
    assert database_path("sqlite:////var/lib/ollm/ollm.db") == Path("/var/lib/ollm/ollm.db")
    assert database_path("sqlite:///ollm.db") == Path.cwd() / "ollm.db"


@pytest.mark.parametrize("url", ["", "ollm.db", "sqlite://", "sqlite:///:memory:", "postgresql://host/db", "mysql://u:secret@h/db"])
def test_other_urls_are_refused_with_a_mend(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        database_path(url)
    assert "sqlite:////" in refused.value.mend
    assert "secret" not in str(refused.value)


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
