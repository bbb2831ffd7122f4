"""Processes are built as they run in production: on uvloop."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from ollm.app.initialise import initialise
from ollm.cli.template import CONFIG
from ollm.config.load import Loaded, load


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """What `ollm init` writes, as it stands."""
    return load(initialise(tmp_path, CONFIG))
