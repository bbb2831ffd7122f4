"""Several machines for one model: they take turns, and one that can't be verified takes none."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ollm.sim.service import SimEnclave, SimOptions
from tests.stage import MODEL, Stage, configuration, eventually, opened


@contextlib.asynccontextmanager
async def several(folder: Path, *options: SimOptions, spread: bool = True) -> AsyncIterator[tuple[Stage, list[SimEnclave]]]:
    async with contextlib.AsyncExitStack() as exits:
        machines = [await exits.enter_async_context(SimEnclave(each)) for each in options]
        named = {f"m{number}": machine for number, machine in enumerate(machines)}
        models = {MODEL: {"upstreams": list(named), "spread": spread, "upstream_model": "sim-chat"}}
        stage = await exits.enter_async_context(opened(folder, configuration(named, models=models)))
        await eventually(lambda: all(keeper.state().last_result != "never" for keeper in stage.gateway.keepers.values()))
        yield stage, machines


def prompts(machines: list[SimEnclave]) -> list[int]:
    return [machine.counters.prompt_requests for machine in machines]


async def test_machines_take_turns(socket_dir: Path) -> None:
    async with several(socket_dir, SimOptions(), SimOptions(), SimOptions()) as (stage, machines):
        for _ in range(9):
            assert (await stage.chat()).status_code == 200
        assert prompts(machines) == [3, 3, 3]


async def test_without_spread_the_first_serves(socket_dir: Path) -> None:
    async with several(socket_dir, SimOptions(), SimOptions(), spread=False) as (stage, machines):
        for _ in range(4):
            assert (await stage.chat()).status_code == 200
        assert prompts(machines) == [4, 0]


async def test_one_that_is_refused_takes_no_turn_and_costs_none(socket_dir: Path) -> None:
    async with several(socket_dir, SimOptions(broken="debug-bit"), SimOptions(), SimOptions()) as (stage, machines):
        for _ in range(6):
            assert (await stage.chat()).status_code == 200
        assert prompts(machines) == [0, 3, 3]
