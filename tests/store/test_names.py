"""Numbers of names: given once, void after a rollback."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollm.store.names import Names
from ollm.store.sqlite import Store
from ollm.values.level import Level
from tests.store.making import CANARY, raw


@pytest.fixture
def db(store: Store, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = raw(tmp_path)
    yield connection
    connection.close()


def test_a_name_has_one_number_per_kind(db: sqlite3.Connection) -> None:
    names = Names(db)
    number = names.models["small"]
    assert names.models["small"] == number
    assert names.upstreams["small"] != number
    assert Names(db).models["small"] == number
    assert names.models[None] is None


def test_a_number_given_in_a_transaction_that_failed_is_void(db: sqlite3.Connection) -> None:
    names = Names(db)
    db.execute("BEGIN")
    lost = names.models["first"]
    db.execute("ROLLBACK")
    names.forget()
    assert names.keys["abc"] == lost  # the number went to another
    assert names.models["first"] != lost
    assert names.models[None] is None


def test_content_is_no_name(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        Names(db).models[CANARY]


def test_an_enum_counts_as_its_value(db: sqlite3.Connection) -> None:
    names = Names(db)
    assert names.models[Level.TEE] == names.models["tee"]
