"""An open store in a directory of its own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ollm.store.sqlite import Store, open_store
from tests.store.making import ROW_KEY, url

Opener = Callable[..., Store]


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    """Opens the store of this test; keyword arguments as for open_store."""

    def open_here(**options: object) -> Store:
        return open_store(url(tmp_path), **({"row_key": ROW_KEY} | options))  # type: ignore[arg-type]

    return open_here


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Store]:
    async with opener() as store:
        yield store
