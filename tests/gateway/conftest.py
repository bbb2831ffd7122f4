"""A gateway for each test, on the event loop that serves in production."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.stage import Stage, staged


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def stage(socket_dir: Path) -> AsyncIterator[Stage]:
    """One genuine enclave behind a gateway with the defaults of `staged`."""
    async with staged(socket_dir) as play:
        yield play
