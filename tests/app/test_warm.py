"""At the start every upstream is verified: a few at a time, and at once for whoever asks."""

import asyncio
import contextlib
from pathlib import Path

from ollm.app.initialise import initialise
from ollm.app.serve import running
from ollm.config.load import load
from tests.scripted_enclave import answer, scripted_enclave
from tests.stage import configuration, eventually, toml


async def test_many_upstreams_are_verified_a_few_at_a_time(tmp_path: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        loaded = load(initialise(tmp_path, toml(configuration({f"m{number}": enclave for number in range(9)}))))
        async with running(loaded) as (gateway, _):
            await eventually(lambda: enclave.reports == 4)
            await asyncio.sleep(0.3)
            assert enclave.reports == 4, "the others wait for their turn"
            asked = asyncio.get_running_loop().create_task(gateway.keepers["m8"].session(5))
            await eventually(lambda: enclave.reports == 5)  # a request doesn't
            enclave.hold_reports.set()
            await eventually(lambda: all(keeper.held() for keeper in gateway.keepers.values()))
            assert enclave.reports == 9
            assert (await asked) is gateway.keepers["m8"].held()


async def test_a_gateway_that_ends_at_once_leaves_nothing_behind(tmp_path: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        loaded = load(initialise(tmp_path, toml(configuration({f"m{number}": enclave for number in range(9)}))))
        async with running(loaded):
            pass
        await asyncio.sleep(0.3)
        assert enclave.reports <= 4
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: enclave.reports > 4, 0.2)
        assert enclave.reports <= 4
