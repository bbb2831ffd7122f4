"""The parts of a process: put together, given another configuration, and all closed again, also when something fails on the way."""

import asyncio
from pathlib import Path

import pytest

from ollm.app.assembly import Assembly
from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.errors import ConfigError
from ollm.sim.service import SimEnclave, SimOptions
from tests.stage import configuration, eventually, installed, toml


def tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_a_generation_is_closed_when_its_requests_are_done(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"enclave": enclave, "second": enclave})
        loaded, _ = await installed(tmp_path, tree)
        done = asyncio.Event()

        async def drained() -> None:
            await done.wait()

        assembly = Assembly(loaded)
        async with assembly as first:
            session = await first.keepers["second"].session(10)
            for number in range(3):
                tree["upstreams"]["second"] = {**tree["upstreams"]["second"], "session_seconds": 100 + number}
                (tmp_path / "ollm.toml").write_text(toml(tree))
                gateway = await assembly.reload(load(tmp_path / "ollm.toml"))
                assembly.retire(drained)
                assert assembly.gateway is gateway
                assert assembly.new == ("second",)
                assert gateway.keepers["enclave"] is first.keepers["enclave"]
            await asyncio.sleep(0.05)
            assert first.keepers["second"].held() is session, "requests may still go over it"
            done.set()
            await eventually(lambda: "old configuration" not in tasks())
            assert (await gateway.keepers["second"].session(10)).session_id != session.session_id
        assert not {name for name in tasks() if name.startswith(("verify", "old", "callers", "ollm."))}


async def test_it_can_end_while_requests_of_old_configurations_run(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"enclave": enclave})
        loaded, _ = await installed(tmp_path, tree)

        async def never() -> None:
            await asyncio.Event().wait()

        assembly = Assembly(loaded)
        async with assembly:
            for number in range(2):
                tree["upstreams"]["enclave"] = {**tree["upstreams"]["enclave"], "session_seconds": 100 + number}
                (tmp_path / "ollm.toml").write_text(toml(tree))
                await assembly.reload(load(tmp_path / "ollm.toml"))
                assembly.retire(never)
        assert not {name for name in tasks() if name.startswith(("verify", "old", "callers", "ollm."))}


async def test_what_can_not_be_assembled_says_why_and_lets_everything_go(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        loaded = load(initialise(tmp_path, toml(configuration({"enclave": enclave}, upstream={"api_key": "env:NOBODY_SET_THIS"}))))
        with pytest.raises(ConfigError, match="NOBODY_SET_THIS is not set"):
            async with Assembly(loaded):
                pass
        loaded = load(tmp_path / "ollm.toml")
        with pytest.raises(ConfigError, match="NOBODY_SET_THIS"):
            async with Assembly(loaded):
                pass


async def test_only_an_open_one_can_be_reloaded(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, ""))
    with pytest.raises(ConfigError, match="not assembled"):
        await Assembly(loaded).reload(loaded)
