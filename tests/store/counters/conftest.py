"""The same tests over each kind of counters."""

from collections.abc import AsyncIterator

import pytest

from ollm.ports import Counters
from tests.store.counters.harness import Harness, Maker, in_memory

KINDS: dict[str, Maker] = {"memory": in_memory}


@pytest.fixture(params=["memory"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    found = await KINDS[request.param]()
    yield found
    await found.close()


@pytest.fixture
def counters(harness: Harness) -> Counters:
    return harness.counters
