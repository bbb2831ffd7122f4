"""A route for one command: verified where there is evidence, and closed in the end. What each provider lists is in tests/upstream."""

from pathlib import Path

import pytest

from ollm.app.catalogue import catalogue_of, route_to
from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.errors import UpstreamError
from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.providers.zdr import ZdrServer
from ollm.upstream.session import UnattestedRoute, Unverified, VerifiedSession
from tests.stage import configuration, toml


async def test_a_machine_is_verified_first_and_the_route_is_closed(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        loaded = load(initialise(tmp_path, toml(configuration({"enclave": enclave}))))
        async with route_to(loaded, "enclave") as route:
            assert isinstance(route, VerifiedSession)
            assert (await route.catalogue()).find("sim-chat") is not None
        with pytest.raises(UpstreamError, match="has ended"):
            await route.catalogue()


async def test_one_that_is_refused_gives_no_route(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions(broken="debug-bit")) as enclave:
        loaded = load(initialise(tmp_path, toml(configuration({"enclave": enclave}))))
        with pytest.raises(Unverified):
            await catalogue_of(loaded, "enclave")


async def test_a_provider_without_evidence(tmp_path: Path) -> None:
    async with ZdrServer() as server:
        tree = {"upstreams": {"open": {"url": server.url, "adapter": "openai", "ca": server.ca}}}
        loaded = load(initialise(tmp_path, toml(tree)))
        async with route_to(loaded, "open") as route:
            assert isinstance(route, UnattestedRoute)
        assert (await catalogue_of(loaded, "open")).find("theirs") is not None
