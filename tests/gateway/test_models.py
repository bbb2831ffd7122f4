"""What can be called, at what trust level, verified when."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import msgspec
import openai
import pytest

from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.providers.zdr import ZdrServer
from ollm.upstream.session import VerifiedSession
from ollm.values.checks import Appraisal, Claim, Claims
from ollm.values.level import Level
from tests.scripted_enclave import answer, scripted_enclave
from tests.stage import Stage, configuration, error_of, eventually, opened

NEVER: dict[str, Any] = {
    **dict.fromkeys(("region", "gpu", "reason", "session_id", "verified_at", "expires_at", "checked_at", "retry_at")),
    "machines": [],
}


async def entries(stage: Stage, query: str = "") -> dict[str, dict[str, Any]]:
    response = await stage.http.get(f"/v1/models{query}")
    assert response.status_code == 200, response.text
    return {entry["id"]: entry for entry in response.json()["data"]}


async def test_every_model_with_its_trust(stage: Stage) -> None:
    session = await stage.gateway.keepers["enclave"].session(5)
    assert isinstance(session, VerifiedSession)
    listed = (await stage.http.get("/v1/models")).json()
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert (listed["first_id"], listed["last_id"]) == ("demo", "sim-error-500")
    demo = next(entry for entry in listed["data"] if entry["id"] == "demo")
    route: dict[str, Any] = {
        "provider": "enclave",
        "adapter": "aci",
        "region": None,
        "level": "simulated",
        "tee_types": [],
        "gpu": {"status": "unknown", "devices": []},
        "available": True,
        "last_result": "verified",
        "reason": None,
        "session_id": session.session_id,
        "verified_at": session.established_at,
        "expires_at": session.expires_at,
        "checked_at": session.established_at,
        "retry_at": None,
        "machines": [],
    }
    assert demo.pop("created_at").endswith("Z")
    endpoints = demo.pop("endpoints")
    assert endpoints[0] == "/v1/chat/completions" and "/v1/messages" in endpoints, "in translation"
    assert demo == {
        "id": "demo",
        "object": "model",
        "created": stage.gateway.started_at,
        "owned_by": "ollm",
        "type": "model",
        "display_name": "demo",
        "pricing": {
            "prompt": "0.00000015",
            "completion": "0.0000006",
            "input_cache_read": "0.000000075",
            "input_micro_per_million": "150000",
            "output_micro_per_million": "600000",
            "cached_micro_per_million": "75000",
            "version": "config",
        },
        "attestation": route,
        "routes": [route],
    }
    one = (await stage.http.get("/v1/models/demo")).json()
    assert {name: one[name] for name in demo} == demo


async def test_what_the_configuration_says_of_a_model(socket_dir: Path) -> None:
    model = {
        "upstreams": ["enclave"],
        "context_length": 8192,
        "max_output": 1024,
        "modalities": "text+image->text",
        "supported_parameters": ["tools", "temperature"],
        "endpoints": ["messages", "chat.completions"],
        "price": {"input": 10, "output": 20},
    }
    async with scripted_enclave(answer(b"{}")) as enclave:
        tree = configuration({"enclave": enclave}, models={"rich": model, "poor": {"upstreams": ["enclave"]}}, upstream={"region": "eu-west"})
        async with opened(socket_dir, tree) as stage:
            found = await entries(stage)
    rich, poor = found["rich"], found["poor"]
    assert (rich["context_length"], rich["max_output_length"], rich["supported_parameters"]) == (8192, 1024, ["tools", "temperature"])
    assert rich["architecture"] == {"modality": "text+image->text", "input_modalities": ["text", "image"], "output_modalities": ["text"]}
    assert rich["endpoints"] == ["/v1/chat/completions", "/v1/responses", "/v1/messages"], "the second in translation"
    assert rich["pricing"]["input_cache_read"] == "0.00000000001", "cached tokens without a price of their own cost as others"
    assert rich["attestation"]["region"] == "eu-west"
    assert not {"context_length", "max_output_length", "architecture", "supported_parameters", "pricing"} & set(poor)


async def test_tee_and_gpu_are_what_the_session_proved(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await stage.gateway.keepers["enclave"].session(5)
    assert isinstance(session, VerifiedSession)
    asserted = Claim("asserted", "hardware_proven", "verified")
    claims = Claims(tee_attested=asserted, gpu_attested=asserted, extra={"device0_kind": "gpu", "device0_model": "Hopper"})
    proven: Appraisal = msgspec.structs.replace(session.appraisal, claims=claims)
    monkeypatch.setattr(session, "appraisal", proven)
    shown = (await entries(stage))["demo"]["attestation"]
    assert shown["tee_types"] == ["tdx"]
    assert shown["gpu"]["devices"] == [{"kind": "gpu", "model": "Hopper"}]


async def test_a_machine_that_was_refused_shows_why(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions(broken="debug-bit")) as broken:
        models = {"meta/llama:70b": {"upstreams": ["broken"], "owned_by": "acme"}}
        async with opened(socket_dir, configuration({"broken": broken}, models=models)) as stage:
            await stage.chat(model="meta/llama:70b")
            entry = (await stage.http.get("/v1/models/meta/llama:70b")).json()
            assert entry["owned_by"] == "acme"
            shown = entry["attestation"]
            assert entry["routes"] == [shown]
            assert (shown["last_result"], shown["session_id"], shown["tee_types"], shown["gpu"]) == ("refused", None, [], None)
            assert shown["reason"].startswith("quote.debug: ")
            assert shown["available"] is False
            assert shown["retry_at"] >= shown["checked_at"]


async def test_a_model_that_is_not_there(stage: Stage) -> None:
    response = await stage.http.get("/v1/models/gpt-9")
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
    assert "gpt-9" not in response.text


async def test_only_for_keys(stage: Stage) -> None:
    async with httpx2.AsyncClient(base_url=stage.url) as nobody:
        for path in ("/v1/models", "/v1/models/demo", "/v1/models?nonsense=1"):
            assert (await nobody.get(path)).status_code == 401


async def test_a_machine_that_is_not_verified_yet_says_so(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, configuration({"enclave": enclave})) as stage:
            shown = (await stage.http.get("/v1/models/demo")).json()["routes"]
            state = {"level": "simulated", "tee_types": [], "available": False, "last_result": "never"}
            assert shown == [{"provider": "enclave", "adapter": "aci", **state, **NEVER}]
            enclave.hold_reports.set()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_name_may_hold_a_slash(shared: Stage) -> None:
    plain, escaped = [await shared.http.get(f"/v1/models/{name}") for name in ("acme/large-1", "acme%2Flarge-1")]
    assert plain.json() == escaped.json()
    assert plain.json()["id"] == "acme/large-1"
    assert (await shared.http.get("/v1/models/acme/large-1/")).status_code == 404


# Which route serves


def several(*machines: Any, open_to: ZdrServer) -> dict[str, Any]:
    """Two machines and a route without evidence, and models over them in different orders."""
    orders = {"safe": ["one", "two"], "safe-first": ["one", "open"], "open-first": ["open", "one"], "open": ["open"]}
    models = {name: {"upstreams": upstreams} for name, upstreams in orders.items()}
    tree = configuration(dict(zip(("one", "two"), machines, strict=True)), gateway={"floor": "simulated"}, models=models)
    tree["upstreams"]["open"] = {"url": open_to.url, "adapter": "openai-compatible", "ca": open_to.ca, "region": "us"}
    return tree


@contextlib.asynccontextmanager
async def play(folder: Path) -> AsyncIterator[Stage]:
    """A gateway over `several`, with both machines verified."""
    script = answer(b"{}")
    async with (
        scripted_enclave(script) as one,
        scripted_enclave(script) as two,
        ZdrServer() as server,
        opened(folder, several(one, two, open_to=server)) as stage,
    ):
        for name in ("one", "two"):
            await stage.gateway.keepers[name].session(5)
        yield stage


async def test_the_route_that_would_serve_is_the_first_that_is_verified_of_the_level_of_the_first(socket_dir: Path) -> None:
    script = answer(b"{}")
    async with scripted_enclave(script) as one, scripted_enclave(script) as two, ZdrServer() as server:
        one.hold_reports = asyncio.Event()
        async with opened(socket_dir, several(one, two, open_to=server)) as stage:
            await stage.gateway.keepers["two"].session(5)
            found = await entries(stage)
            serving = {name: entry["attestation"]["provider"] for name, entry in found.items()}
            # "open" is of a higher level than the simulated "one" that stands before it, so it may take its place.
            assert serving == {"safe": "two", "safe-first": "open", "open-first": "open", "open": "open"}
            assert [route["provider"] for route in found["open-first"]["routes"]] == ["open", "one"]
            shown = found["open"]["attestation"]
            assert shown == {
                "provider": "open", "adapter": "openai-compatible", "level": "zdr", "tee_types": [], "available": True,
                "last_result": "not_attested", **NEVER, "region": "us",
            }  # fmt: skip
            one.hold_reports.set()


async def test_filters_look_at_the_route_that_would_serve(socket_dir: Path) -> None:
    async with play(socket_dir) as stage:
        everything = ["safe", "safe-first", "open-first", "open"]
        for query, names in {
            "": everything,
            "?assurance=simulated": ["safe", "safe-first"],
            "?assurance=zdr": ["open-first", "open"],
            "?assurance=tee": [],
            "?allow_zdr=false": ["safe", "safe-first"],
            "?allow_tee=FALSE&allow_zdr=True": everything,
            "?assurance=zdr&allow_zdr=false": [],
        }.items():
            assert list(await entries(stage, query)) == names, query
        listed = (await stage.http.get("/v1/models?assurance=tee")).json()
        assert (listed["first_id"], listed["last_id"]) == (None, None)


async def test_a_key_that_no_route_reaches_is_told_so(socket_dir: Path) -> None:
    async with play(socket_dir) as stage:
        known = len(stage.gateway.keys._credentials)  # type: ignore[attr-defined]  # seen within a second
        key = await stage.new_key(require=Level.ZDR)
        await eventually(lambda: len(stage.gateway.keys._credentials) > known)  # type: ignore[attr-defined]
        stage.http.headers["authorization"] = f"Bearer {key}"
        found = await entries(stage)
        assert {name: entry["attestation"] and entry["attestation"]["provider"] for name, entry in found.items()} == {
            "safe": None,
            "safe-first": "open",
            "open-first": "open",
            "open": "open",
        }
        assert [route["provider"] for route in found["safe"]["routes"]] == ["one", "two"]
        assert "safe" not in await entries(stage, "?assurance=zdr")
        assert "safe" in await entries(stage, "?allow_zdr=false"), "what nothing would serve is neither"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("assurance=TEE", "assurance"),
        ("assurance=", "assurance"),
        ("assurance=tee,zdr", "assurance"),
        ("allow_tee=0", "allow_tee"),
        ("allow_zdr=", "allow_zdr"),
        ("allow_zdr=no", "allow_zdr"),
        ("alow_zdr=false", None),
        ("limit=20", None),
        ("assurance=tee&assurance=zdr", None),
        ("allow_tee=%ff", None),
    ],
)
async def test_a_filter_that_is_not_understood_filters_nothing_silently(query: str, param: str | None, shared: Stage) -> None:
    response = await shared.http.get(f"/v1/models?{query}")
    assert (response.status_code, error_of(response)["code"], error_of(response)["param"]) == (400, "invalid_query", param)
    assert "alow" not in response.text


@pytest.mark.asyncio(loop_scope="module")
async def test_one_model_takes_no_filter(shared: Stage) -> None:
    response = await shared.http.get("/v1/models/demo?assurance=tee")
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_query")


# Clients


@pytest.mark.asyncio(loop_scope="module")
async def test_the_clients_of_openai_and_of_anthropic_read_the_same_list(shared: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=shared.url + "/v1", api_key=shared.api_key) as client:
        names = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("acme/large-1")
        assert (one.owned_by, one.object) == ("acme", "model")
        with pytest.raises(openai.NotFoundError, match="No such model"):
            await client.models.retrieve("gpt-9")
    async with anthropic.AsyncAnthropic(base_url=shared.url, api_key=shared.api_key) as other:
        models = [model async for model in other.models.list()]
        assert [model.id for model in models] == names
        assert models[0].type == "model"
        assert int(models[0].created_at.timestamp()) == shared.gateway.started_at
        with pytest.raises(anthropic.NotFoundError) as refusal:
            await other.models.retrieve("gpt-9")
        assert refusal.value.response.json()["error"]["type"] == "not_found_error"
