"""An open store of its own for each test: in a directory, and on a PostgreSQL server where the slow tests run."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from ollm.store.place import Place, place_of
from ollm.store.sqlite import Store, open_store
from ollm.values.secret import Sealed
from tests.servers.postgres import Postgres, own_postgres, postgres
from tests.store.making import ROW_KEY, Database, File, OnServer, url

__all__ = ["own_postgres", "postgres"]

Opener = Callable[..., Store]
BOTH = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.process])]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, migrated once for all tests."""
    directory = tmp_path_factory.mktemp("empty")
    asyncio.run(open_store(url(directory), row_key=ROW_KEY, role="admin").close())
    return directory / "ollm.db"


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A new database on the server, migrated once for all tests."""
    name = postgres.database()
    asyncio.run(open_store(place_on(postgres, name), row_key=ROW_KEY, role="admin").close())
    return name


def place_on(server: Postgres, database: str) -> Place:
    return place_of(server.url(database), password=Sealed(server.password.encode()))


@pytest.fixture
def opener(tmp_path: Path, empty: Path) -> Opener:
    """Opens the SQLite store of this test; keyword arguments as for open_store."""

    def open_here(**options: object) -> Store:
        if not (tmp_path / "ollm.db").exists():
            shutil.copy(empty, tmp_path / "ollm.db")
        return open_store(url(tmp_path), **({"row_key": ROW_KEY} | options))  # type: ignore[arg-type]

    return open_here


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Store]:
    async with opener() as store:
        yield store


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of this test, once of each kind: opened by `database.open`, and seen raw by `database.rows` and `database.run`."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty"), tmp_path / "ollm.db")
        yield File(tmp_path)
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.database(request.getfixturevalue("template"))
    yield OnServer(tmp_path, server, name, place_on(server, name))
    server.drop(name)
