"""Composition: everything opens from one configuration, closes again, and a part that fails leaves nothing open."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from ollm.app.assembly import Assembly
from ollm.app.build import data_directory, endorser_of, machine_urls, provider_session, store_of
from ollm.app.collateral import collateral_of
from ollm.app.initialise import initialise
from ollm.attest.evidence import CollateralNeed
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError, StoreError, UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.fetch import HttpFetch
from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.providers.near import NearServer
from ollm.upstream import registry
from ollm.upstream.keeper import OpenRoute
from ollm.upstream.session import UnattestedRoute, Unverified, VerifiedSession
from ollm.values.ledger import Entry, Status
from ollm.values.level import Level
from ollm.values.usage import Usage
from tests.stage import configuration, policy_table, toml
from tests.upstream.test_fleet import Directory, tree


def entry_at(started_ms: int, request_id: str = "ab" * 16) -> Entry:
    return Entry(
        request_id=request_id,
        key_id="k" * 16,
        endpoint="chat.completions",
        model=None,
        upstream=None,
        level=None,
        session_id=None,
        status=Status.REFUSED,
        http_status=403,
        streamed=False,
        started_ms=started_ms,
        usage=Usage(),
        cost_micro=None,
        price_version=None,
        verify_us=0,
        headers_us=0,
        first_us=0,
        total_us=0,
        receipt=None,
    )


async def test_a_gateway_opens_and_closes_and_opens_again(loaded: Loaded) -> None:
    for _ in range(2):
        async with Assembly(loaded) as gateway:
            assert gateway.config_digest == loaded.digest
            assert (gateway.keepers, gateway.levels) == ({}, {})
            assert repr(gateway) == "<Gateway>"


async def test_state_is_readable_by_its_owner_alone(loaded: Loaded) -> None:
    async with Assembly(loaded):
        state = loaded.path("state")
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert [path.name for path in state.iterdir() if path.stat().st_mode & 0o077] in ([], ["keyset.json"]), "the keyset is public"


def test_a_data_directory_that_was_open_to_others_is_closed(loaded: Loaded) -> None:
    loaded.path("state").mkdir(mode=0o755)
    os.chmod(loaded.path("state"), 0o755)
    assert stat.S_IMODE(data_directory(loaded).stat().st_mode) == 0o700


def test_a_data_directory_that_is_none_is_named(loaded: Loaded) -> None:
    loaded.path("state").write_text("a file")
    with pytest.raises(ConfigError) as refused:
        data_directory(loaded)
    assert str(loaded.path("state")) in refused.value.cause


async def test_two_gateways_do_not_share_a_store_but_administration_does(loaded: Loaded) -> None:
    async with Assembly(loaded):
        with pytest.raises(StoreError):
            Assembly(loaded)
        async with store_of(loaded, role="admin") as store:
            assert await store.keys.list() == []


@pytest.mark.parametrize(
    ("section", "members", "cause"),
    [
        ("evidence", {"quote_source": "tpm:/dev/tpm0"}, "quote_source"),
        ("evidence", {"quote_source": "dstack:"}, "quote_source"),
        ("gateway", {"tls_certificate": "none.pem", "tls_key": "none.pem"}, "certificate"),
        ("secrets", {"receipt_key": "file:none"}, "secret"),
        ("secrets", {"pepper": "env:NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
    ],
)
async def test_a_part_that_can_not_be_made_is_named_and_leaves_nothing_open(
    loaded: Loaded, section: str, members: dict[str, str], cause: str
) -> None:
    part = msgspec.structs.replace(getattr(loaded.settings, section), **members)
    broken = msgspec.structs.replace(loaded, settings=msgspec.structs.replace(loaded.settings, **{section: part}))
    with pytest.raises(ConfigError) as refused:
        async with Assembly(broken):
            pass
    assert cause in refused.value.cause
    async with Assembly(loaded) as gateway:  # the store was let go
        assert gateway.keys.lookup("none") is None


async def test_the_clock_must_not_be_before_the_newest_row(loaded: Loaded) -> None:
    async with Assembly(loaded) as gateway:
        await gateway.ledger.complete(entry_at((SystemClock().now() + 3600) * 1000))
    with pytest.raises(ConfigError, match="clock"):
        async with Assembly(loaded):
            pass


async def written(folder: Path, **machines: SimEnclave) -> Loaded:
    return load(initialise(folder, toml(configuration(machines))))


async def test_every_upstream_has_its_keeper_and_level(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, Assembly(await written(tmp_path, one=enclave)) as gateway:
        assert gateway.levels == {"one": Level.SIMULATED}
        session = await gateway.keepers["one"].session(5)
        assert isinstance(session, VerifiedSession)
        assert await gateway.sessions.get(session.session_id) == session.document


async def test_an_upstream_without_evidence_is_an_open_route(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"one": enclave})
        tree["upstreams"]["open"] = {"adapter": "openai"}
        loaded = load(initialise(tmp_path, toml(tree)))
        async with Assembly(loaded) as gateway:
            assert gateway.levels == {"one": Level.SIMULATED, "open": Level.ZDR}
            assert isinstance(gateway.keepers["open"], OpenRoute)
            assert isinstance(await gateway.keepers["open"].session(0), UnattestedRoute)
        with pytest.raises(ConfigError, match="no evidence to verify"):
            async with provider_session(loaded, "open"):
                pass


async def test_a_session_without_a_store(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, SimEnclave(SimOptions(broken="debug-bit")) as broken:
        loaded = await written(tmp_path, good=enclave, bad=broken)
        async with provider_session(loaded, "good") as session:
            assert session.appraisal.accepted
        with pytest.raises(Unverified):
            async with provider_session(loaded, "bad"):
                pass
        assert not loaded.path("state").exists()


async def test_collateral_comes_from_where_the_policy_gets_its_own(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"one": enclave})
        tree["policies"]["gateway"] = policy_table(enclave.policy)
        real = policy_table(enclave.policy)
        del real["tdx"]["simulated_root_sha256"]
        tree["policies"]["real"] = {**real, "level": "tee"}
        loaded = load(initialise(tmp_path, toml(tree)))
        fetch = HttpFetch()
        need = CollateralNeed("00906ED50000", "platform")
        origins = {name: endorser_of(loaded, name, fetch, SystemClock()).keys(need)[0].origin for name in ("one", "gateway", "real", "unknown")}
        await fetch.close()
        assert origins["one"] == origins["gateway"] == enclave.pcs_url, "simulated hardware has one service, whoever runs on it"
        assert origins["real"] == origins["unknown"] == "https://api.trustedservices.intel.com"


async def test_the_machines_of_an_upstream_are_those_that_the_gateway_would_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with NearServer() as server:
        directory = Directory(server)
        monkeypatch.setitem(registry.MACHINES, "near", directory)
        loaded = load(initialise(tmp_path, toml(tree(server))))
        async with collateral_of(loaded, SystemClock()) as collateral:
            assert await machine_urls(loaded, "near", collateral) == (server.url,)
            directory.named = []
            assert await machine_urls(loaded, "near", collateral) == ("https://model.machines.test",)
            directory.problem = UpstreamError("connect", "timed out")
            assert await machine_urls(loaded, "near", collateral) == ("https://model.machines.test",)
        alone = load(initialise(tmp_path / "alone", toml(tree(server, max_machines=None))))
        async with collateral_of(alone, SystemClock()) as collateral:
            assert await machine_urls(alone, "near", collateral) == ("https://model.machines.test",)
        assert directory.asked == 3
