"""Every provider's list over the route that prompts take: where it is asked for, with what, and how it reads."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ollm.app.catalogue import catalogue_of
from ollm.app.initialise import initialise
from ollm.config.load import Loaded, load
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError, WireError
from ollm.net.connection import certified_tls
from ollm.net.pool import Pool
from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.mint.signer import MODEL, ecdsa
from ollm.testing.providers import listings
from ollm.testing.providers.chutes import CHUTE, ChutesServer
from ollm.testing.providers.near import NearServer
from ollm.testing.providers.tinfoil import TinfoilServer
from ollm.testing.providers.zdr import ZdrServer
from ollm.upstream.asking import Heads
from ollm.upstream.catalogue import PER_TOKEN, Catalogue, Listing, Source, fetched
from ollm.upstream.chutes import ChutesProvider
from ollm.upstream.near import CLOUD_LIST
from ollm.upstream.session import Unverified
from ollm.values.secret import Sealed
from ollm.wire.catalogue import Form, Offer
from tests.stage import configuration, policy_table, toml, upstream_table


def loaded(folder: Path, machine: Any, adapter: str, **upstream: Any) -> Loaded:
    """A configuration with one upstream, "theirs"."""
    key = folder / "key"
    key.write_text("sk-test")
    key.chmod(0o600)
    tree = configuration({})
    if hasattr(machine, "policy"):
        tree["policies"] = {"p": policy_table(machine.policy)}
        route = upstream_table(machine, "p", adapter=adapter, api_key="file:key", **upstream)
    else:
        route = {"url": machine.url, "adapter": adapter, "ca": machine.ca, "api_key": "file:key", **upstream}
    return load(initialise(folder, toml({**tree, "models": {}, "upstreams": {"theirs": route}})))


PRICED = Offer("a/b", None, 163840, 350_000, 1_400_000, 35_000)


async def test_nears_machine_lists_what_its_engine_serves(tmp_path: Path) -> None:
    async with NearServer() as server:
        told = await catalogue_of(loaded(tmp_path, server, "near", model=MODEL), "theirs")
        assert told == Catalogue((Offer(MODEL, serves=MODEL, context=131072),), 0, True, MODEL)
        assert told.reached(told.offers[0])
        assert server.heads[-1]["authorization"] == "Bearer sk-test"


async def test_nears_gateway_lists_prices_by_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollm.upstream.near.CLOUD_LIST", CLOUD_LIST._replace(page=2))
    async with NearServer(behind=True) as server:
        told = await catalogue_of(loaded(tmp_path, server, "near", model=MODEL), "theirs")
        assert [offer.id for offer in told.offers] == [f"maker/model-{number}" for number in range(5)]
        first = Offer("maker/model-0", "maker/model-0", 262144, input=1_000_000, output=3_000_000, cached=0)
        assert (told.offers[0], told.complete, told.left_out) == (first, True, 0)
        assert not told.reached(first)
        asked = [(query["limit"], query["offset"]) for query in server.queries if "offset" in query]
        assert asked == [("2", "0"), ("2", "2"), ("2", "4")]
        assert "authorization" not in server.heads[-1]


async def test_chutes_are_told_apart(tmp_path: Path) -> None:
    async with ChutesServer() as server:
        told = await catalogue_of(loaded(tmp_path, server, "chutes", model=CHUTE, ca=server.ca), "theirs")
        ours, other = told.offers
        assert ours == Offer("zai/GLM-TEE", CHUTE, 202752, input=350_000, output=1_400_000, cached=175_000)
        assert (told.reached(ours), told.reached(other)) == (True, False)


def test_chutes_lists_are_at_a_host_beside_the_api() -> None:
    tools: Any = None
    provider = ChutesProvider(UpstreamSettings(url="https://api.chutes.ai", adapter="chutes", model=CHUTE), Sealed(b"sk"), tools)
    listing = provider.listing()
    assert listing.heads.origin.text == "https://llm.chutes.ai"
    assert b"authorization" not in listing.heads.get("/v1/models", credential=True)


async def test_tinfoil(tmp_path: Path) -> None:
    async with TinfoilServer() as server:
        told = await catalogue_of(loaded(tmp_path, server, "tinfoil"), "theirs")
        assert told.offers == (
            Offer("llama-made-up", context=128000, input=1_750_000, output=2_750_000, cached=350_000),
            Offer("search-made-up", input=0, output=0, per_request=10_000),
        )
        assert told.reached(told.offers[1])


async def test_phala_and_whoever_has_dstacks_proxy(tmp_path: Path) -> None:
    async with NearServer(key=ecdsa(), sealed=False) as server:
        server.bend = lambda document: document.pop("ohttp_attestation")
        told = await catalogue_of(loaded(tmp_path, server, "phala", model=MODEL), "theirs")
        assert told.offers == (Offer(MODEL, serves=MODEL, context=131072),)


async def test_an_aci_service(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions(api_key="sk-test")) as enclave:
        told = await catalogue_of(loaded(tmp_path, enclave, "aci"), "theirs")
        assert "sim-chat" in [offer.id for offer in told.offers]
        assert told.complete


@pytest.mark.parametrize(
    ("adapter", "listing", "path", "credential", "first"),
    [
        ("openai", listings.OPENAI, "/v1/models", ("authorization", "Bearer sk-test"), Offer("theirs")),
        ("anthropic", listings.ANTHROPIC, "/v1/models", ("x-api-key", "sk-test"), Offer("made-up-1", context=200000)),
        ("openrouter", listings.per_token("a/b"), "/api/v1/models", None, PRICED),
        (
            "openai-compatible",
            listings.per_token("a/b"),
            "/v1/models",
            ("authorization", "Bearer sk-test"),
            PRICED,
        ),
    ],
)
async def test_providers_without_evidence(
    adapter: str, listing: bytes, path: str, credential: tuple[str, str] | None, first: Offer, tmp_path: Path
) -> None:
    async with ZdrServer() as server:
        server.listing = listing
        told = await catalogue_of(loaded(tmp_path, server, adapter), "theirs")
        assert told.offers[0] == first
        (asked,) = server.asked
        assert asked.path == path
        credentials = {name: value for name, value in asked.headers.items() if name in ("authorization", "x-api-key")}
        assert credentials == dict([credential] if credential else [])


async def test_the_base_of_an_api_is_the_base_of_its_list(tmp_path: Path) -> None:
    async with ZdrServer() as server:
        loaded(tmp_path, server, "openai-compatible")
        toml_text = (tmp_path / "ollm.toml").read_text().replace(server.url, server.url + "/open/ai")
        (tmp_path / "ollm.toml").write_text(toml_text)
        await catalogue_of(load(tmp_path / "ollm.toml"), "theirs")
        assert server.asked[0].path == "/open/ai/models"


async def test_an_unverified_machine_is_asked_for_nothing(tmp_path: Path) -> None:
    async with NearServer() as server:
        server.bend = lambda document: document.update(request_nonce="00" * 32)
        with pytest.raises(Unverified):
            await catalogue_of(loaded(tmp_path, server, "near", model=MODEL), "theirs")
        assert all("nonce" in query for query in server.queries)


async def test_a_redirection_is_not_followed(tmp_path: Path) -> None:
    async with ZdrServer() as server:
        server.elsewhere = "https://127.0.0.1:1/"
        with pytest.raises(UpstreamError, match="was answered 307"):
            await catalogue_of(loaded(tmp_path, server, "openai"), "theirs")


async def test_an_answer_that_is_no_list(tmp_path: Path) -> None:
    async with ZdrServer() as server:
        server.listing = b'{"object":"list"}'
        with pytest.raises(WireError, match="no list of models"):
            await catalogue_of(loaded(tmp_path, server, "openai"), "theirs")


# The fetching itself


@asynccontextmanager
async def pooled(server: ZdrServer) -> AsyncIterator[Pool]:
    heads = Heads(server.url, None)
    pool = Pool(heads.origin, None, certified_tls(server.ca), size=1, connect_timeout=5)
    try:
        yield pool
    finally:
        pool.close()


async def test_one_connection_serves_all_pages_and_a_list_without_end_is_cut() -> None:
    async with AsyncExitStack() as exits:
        server = await exits.enter_async_context(ZdrServer())
        pool = await exits.enter_async_context(pooled(server))
        server.listing = json.dumps({"data": [{"id": "m"}], "total": 10**6}).encode()
        told = await fetched(Listing(Heads(server.url, None), Source(Form(), page=1)), pool)
        assert (told.offers, told.complete, told.left_out) == ((Offer("m"),), False, 49)
        assert len(server.asked) == 50


async def test_a_provider_that_has_more_than_it_tells_is_said_to() -> None:
    async with AsyncExitStack() as exits:
        server = await exits.enter_async_context(ZdrServer())
        pool = await exits.enter_async_context(pooled(server))
        server.listing = json.dumps({"data": [{"id": "m"}], "has_more": True}).encode()
        assert not (await fetched(Listing(Heads(server.url, None), Source(Form(rates=(PER_TOKEN,)))), pool)).complete
        server.listing = json.dumps({"data": [], "total": 5}).encode()
        assert not (await fetched(Listing(Heads(server.url, None), Source(Form(), page=5)), pool)).complete


async def test_where_keys_are_pinned_no_other_host_is_asked() -> None:
    async with ZdrServer() as server, ZdrServer() as other:
        pinned = Pool(Heads(server.url, None).origin, frozenset({"00" * 32}), certified_tls(server.ca), size=1, connect_timeout=5)
        with pytest.raises(UpstreamError, match="speaks for no other host"):
            pinned.beside(Heads(other.url, None).origin)
        pinned.close()


def test_finding_by_name() -> None:
    told = Catalogue((Offer("a"), Offer("b", serves="x")), 0, True, "x")
    assert told.find("a") == Offer("a")
    assert told.find("c") is None
