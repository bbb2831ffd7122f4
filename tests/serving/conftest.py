"""Everything in this folder runs on both event loops: uvloop serves in production, asyncio where there is none."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from ollm.serving.tls import TlsIdentity
from tests.serving.client import make_identity


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def identity() -> TlsIdentity:
    return make_identity("localhost")
