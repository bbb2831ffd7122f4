"""The configuration decides which counters there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ollm.config.load import Loaded, parse
from ollm.errors import ConfigError, CountersAway
from ollm.net.clock import StandingClock
from ollm.ports import Granted
from ollm.store.counters.fallback import FallbackCounters
from ollm.store.counters.memory import MemoryCounters
from ollm.store.counters.opening import open_counters
from ollm.values.hexes import sha256_of
from ollm.values.terms import Limit
from tests.servers.counters import counter_server
from tests.store.counters.harness import NOW, NOW_MS, asked, made

CLOCK = StandingClock(NOW)
ONE = Limit(requests_per_day=1)


def configured(lines: str, directory: Path) -> Loaded:
    data = f"[counters]\n{lines}\n".encode()
    return Loaded(parse(data), directory, sha256_of(data))


async def test_one_worker_counts_in_memory(tmp_path: Path) -> None:
    counters = open_counters(configured("", tmp_path), CLOCK)
    assert isinstance(counters, MemoryCounters)
    assert await counters.reserve(asked("r1", made(limit=ONE)), NOW_MS) == Granted((1,))
    await counters.close()


async def test_a_store_that_is_not_there_is_no_reason_not_to_start(tmp_path: Path) -> None:
    counters = open_counters(configured(f'backend = "valkey"\nurl = "unix://{tmp_path}/none.sock"', tmp_path), CLOCK)
    assert isinstance(counters, FallbackCounters)
    with pytest.raises(CountersAway):
        await counters.reserve(asked("r1", made(limit=ONE)), NOW_MS)
    await counters.close()


async def test_the_share_of_a_worker_is_the_configured_one(tmp_path: Path) -> None:
    lines = f'backend = "valkey"\nurl = "unix://{tmp_path}/none.sock"\nwhen_away = "local"\nlocal_share = 0.29'
    counters = open_counters(configured(lines, tmp_path), CLOCK)
    granted = [isinstance(await counters.reserve(asked(f"r{n}", made(limit=Limit(requests_per_day=100))), NOW_MS), Granted) for n in range(40)]
    assert sum(granted) == 29
    await counters.close()


@pytest.mark.slow
@pytest.mark.process
async def test_a_shared_store_is_opened_with_its_password_and_prefix(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERS_WORD", "secret-word")
    with counter_server(socket_dir, password="secret-word") as server:
        lines = f'backend = "valkey"\nurl = "{server.url}"\npassword = "env:COUNTERS_WORD"\nprefix = "mine"\nwhen_away = "local"'
        counters = open_counters(configured(lines, socket_dir), CLOCK)
        ten = made(limit=Limit(requests_per_day=10))
        assert await counters.reserve(asked("r1", ten), NOW_MS) == Granted((10,))  # a share, since the store is new
        assert [reading.value for reading in await counters.read([ten.meters.names[0]])] == [1]
        await counters.close()


async def test_a_password_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="COUNTERS_WORD"):
        open_counters(configured('backend = "valkey"\nurl = "redis://127.0.0.1:1"\npassword = "env:COUNTERS_WORD"', tmp_path), CLOCK)


def test_without_the_extra_counters_in_memory_need_no_library() -> None:
    source = "import sys; sys.modules['redis'] = None; import ollm.store.counters.opening"
    subprocess.run([sys.executable, "-c", source], check=True, env=os.environ | {"PYTHONPATH": "src"}, cwd=Path(__file__).parents[3])
