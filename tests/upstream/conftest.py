"""One genuine enclave, on the event loop of production."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from ollm.sim.service import SimEnclave, SimOptions


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def enclave() -> AsyncIterator[SimEnclave]:
    async with SimEnclave(SimOptions()) as running:
        yield running
