"""The same tests over each kind of counters."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ollm.ports import Counters
from ollm.store.counters.fallback import Rules
from tests.servers.counters import CounterServer, counter_server
from tests.store.counters.harness import Harness, InMemory, on_server

_SERVED = [pytest.mark.slow, pytest.mark.process]
KINDS = ["memory", pytest.param("valkey", marks=_SERVED), pytest.param("fallback", marks=_SERVED)]


@pytest.fixture(scope="session")
def server() -> Iterator[CounterServer]:
    """One server for all tests that leave it as it is; each has its own names there."""
    with tempfile.TemporaryDirectory(prefix="ollm-") as folder, counter_server(Path(folder)) as running:
        yield running


@pytest.fixture(params=KINDS)
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "memory":
        found: Harness = InMemory()
    else:
        found = await on_server(request.getfixturevalue("server"), rules=Rules() if request.param == "fallback" else None)
    yield found
    await found.close()


@pytest.fixture
def counters(harness: Harness) -> Counters:
    return harness.counters
