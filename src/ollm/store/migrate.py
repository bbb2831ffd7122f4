"""Brings a database to this version's schema, and makes sure that it is this installation's."""

import hmac
import os
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, inspect, select, text

from ollm.errors import StoreError
from ollm.store.database import is_postgresql, take_turn, writing
from ollm.store.schema import installation, organisations, projects
from ollm.store.subjects import authenticated, columns_of
from ollm.values.identity import DEFAULT_ORG, DEFAULT_PROJECT, Organisation, Project
from ollm.values.terms import NO_TERMS

REVISIONS = ("0002", "0003")  # oldest first; a test holds them equal to migrations/versions
_UNRELEASED = ("0001",)  # folded into the first of REVISIONS: no release ever wrote it
_HERE = Path(__file__).parent / "migrations"
# Alembic's own table, made here so that its text column is bounded like every other.
_VERSION_TABLE = """CREATE TABLE IF NOT EXISTS alembic_version (
    version_num TEXT NOT NULL PRIMARY KEY
    CONSTRAINT version_num_is_a_name CHECK (length(version_num) BETWEEN 1 AND 32 AND trim(version_num, '0123456789') = '')
)"""


def prepare(engine: Engine, row_key: bytes, *, expected: str | None = None) -> str:
    """Migrate, then return the installation id. A new database takes `row_key` as its own.

    Raises: StoreError for a database of a newer version, of another row key, or of another installation than `expected`.
    """
    with engine.connect() as connection:
        current = _revision(connection)
    if current != REVISIONS[-1]:
        with writing(engine).begin() as connection:
            _upgrade(connection)
    with writing(engine).begin() as connection:
        return _claim(connection, row_key, expected)


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StoreError("this database has tables of another program", "name another file")
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found in _UNRELEASED:
        raise StoreError("this database was written before the first release of OLLM", "name a new file")
    if found is not None and found not in REVISIONS:
        raise StoreError("this database was written by a newer version of OLLM", "run that version, or restore a backup from before")
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # only here: importing Alembic takes longer than most commands do
    from alembic.config import Config

    take_turn(connection, "migrate")
    if _revision(connection) == REVISIONS[-1]:
        return  # another process was faster
    connection.execute(text(_VERSION_TABLE if is_postgresql(connection) else _VERSION_TABLE + " STRICT"))
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, REVISIONS[-1])


def _claim(connection: Connection, row_key: bytes, expected: str | None) -> str:
    take_turn(connection, "migrate")
    row = connection.execute(select(installation.c.installation_id, installation.c.row_key_check)).one_or_none()
    if row is None:
        if expected is not None:
            raise StoreError("this database is new, but an installation was named", "restore its database, or remove the installation id")
        installation_id = os.urandom(16).hex()
        check = row_key_check(row_key, installation_id)
        new = insert(installation).values(one=1, installation_id=installation_id, row_key_check=check, key_generation=0)
        connection.execute(new.values(ledger_from_ms=0, receipts_from_ms=0))
        _begin(connection, row_key)
        return installation_id
    if expected is not None and row.installation_id != expected:
        raise StoreError("this database belongs to another installation", "name the right file, or the right installation id")
    if not hmac.compare_digest(row.row_key_check, row_key_check(row_key, row.installation_id)):
        raise StoreError("this database was made with another row key", "use that key, or name the right file")
    return str(row.installation_id)


def _begin(connection: Connection, row_key: bytes) -> None:
    """The organisation and the project that keys belong to where nobody says otherwise; they are there from the beginning, at 0."""
    organisation = authenticated(Organisation(DEFAULT_ORG, "default", NO_TERMS, 0, None, b""), row_key)
    project = authenticated(Project(DEFAULT_PROJECT, DEFAULT_ORG, "default", NO_TERMS, 0, None, b""), row_key)
    connection.execute(insert(organisations).values(columns_of(organisation)))
    connection.execute(insert(projects).values(columns_of(project)))


def row_key_check(row_key: bytes, installation_id: str) -> bytes:
    """What proves that `row_key` is the one of this installation's rows."""
    return hmac.digest(row_key, b"ollm.store.row-key-check.v1\0" + installation_id.encode(), "sha256")
