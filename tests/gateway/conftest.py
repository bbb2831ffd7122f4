"""A gateway for each test, on the event loop that serves in production."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from tests.stage import MODEL, SPECIAL_MODELS, Stage, staged


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def stage(socket_dir: Path) -> AsyncIterator[Stage]:
    """One genuine enclave behind a gateway with the defaults of `staged`."""
    async with staged(socket_dir) as play:
        yield play


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Stage]:
    """One attested gateway for all tests of a module that leave nothing behind which others would see.

    Such a module says `pytestmark = pytest.mark.asyncio(loop_scope="module")`. Beside the usual models there are one without a
    price and one whose name has a slash.
    """
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    route = {"upstreams": ["enclave"], "upstream_model": "sim-chat"}
    price = {"input": 150_000, "output": 600_000, "cached": 75_000, "version": "2026-10"}
    models = {
        MODEL: {**route, "price": price},
        "unpriced": route,
        "acme/large-1": {**route, "owned_by": "acme", "context_length": 131_072},
        **{name: {"upstreams": ["enclave"]} for name in SPECIAL_MODELS},
    }
    try:
        async with staged(folder, attested=True, models=models) as play:
            await play.gateway.keepers["enclave"].session(10)
            yield play
    finally:
        shutil.rmtree(folder, ignore_errors=True)
