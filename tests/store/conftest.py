"""An open store in a directory of its own."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ollm.store.sqlite import Store, open_store
from tests.store.making import ROW_KEY, url

Opener = Callable[..., Store]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, migrated once for all tests."""
    directory = tmp_path_factory.mktemp("empty")
    asyncio.run(open_store(url(directory), row_key=ROW_KEY, role="admin").close())
    return directory / "ollm.db"


@pytest.fixture
def opener(tmp_path: Path, empty: Path) -> Opener:
    """Opens the store of this test; keyword arguments as for open_store."""

    def open_here(**options: object) -> Store:
        if not (tmp_path / "ollm.db").exists():
            shutil.copy(empty, tmp_path / "ollm.db")
        return open_store(url(tmp_path), **({"row_key": ROW_KEY} | options))  # type: ignore[arg-type]

    return open_here


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Store]:
    async with opener() as store:
        yield store
