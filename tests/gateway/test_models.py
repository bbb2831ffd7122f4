"""What can be called, at what trust level, verified when."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from ollm.sim.service import SimEnclave, SimOptions
from ollm.upstream.session import VerifiedSession
from tests.scripted_enclave import answer, scripted_enclave
from tests.stage import Stage, configuration, error_of, opened


async def test_every_model_with_its_trust(stage: Stage) -> None:
    session = await stage.gateway.keepers["enclave"].session(5)
    assert isinstance(session, VerifiedSession)
    listed = (await stage.http.get("/v1/models")).json()
    assert listed["object"] == "list"
    demo = next(entry for entry in listed["data"] if entry["id"] == "demo")
    assert demo == {
        "id": "demo",
        "object": "model",
        "created": stage.gateway.started_at,
        "owned_by": "ollm",
        "pricing": {"input_micro_per_million": "150000", "output_micro_per_million": "600000"},
        "attestation": [
            {
                "provider": "enclave",
                "adapter": "aci",
                "level": "simulated",
                "available": True,
                "last_result": "verified",
                "reason": None,
                "session_id": session.session_id,
                "verified_at": session.established_at,
                "expires_at": session.expires_at,
                "checked_at": session.established_at,
                "retry_at": None,
            }
        ],
    }
    assert (await stage.http.get("/v1/models/demo")).json() == demo


async def test_a_machine_that_was_refused_shows_why(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions(broken="debug-bit")) as broken:
        models = {"meta/llama:70b": {"upstreams": ["broken"], "context_length": 8192, "owned_by": "acme"}}
        async with opened(socket_dir, configuration({"broken": broken}, models=models)) as stage:
            await stage.chat(model="meta/llama:70b")
            entry = (await stage.http.get("/v1/models/meta/llama:70b")).json()
            assert (entry["context_length"], entry["owned_by"]) == (8192, "acme")
            assert "pricing" not in entry
            shown = entry["attestation"][0]
            assert (shown["last_result"], shown["session_id"]) == ("refused", None)
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
        for path in ("/v1/models", "/v1/models/demo"):
            assert (await nobody.get(path)).status_code == 401


async def test_a_machine_that_is_not_verified_yet_says_so(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b"{}")) as enclave:
        enclave.hold_reports = asyncio.Event()
        async with opened(socket_dir, configuration({"enclave": enclave})) as stage:
            shown = (await stage.http.get("/v1/models/demo")).json()["attestation"]
            nothing = dict.fromkeys(("reason", "session_id", "verified_at", "expires_at", "checked_at", "retry_at"))
            assert shown == [{"provider": "enclave", "adapter": "aci", "level": "simulated", "available": False, "last_result": "never", **nothing}]
            enclave.hold_reports.set()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_name_may_hold_a_slash(shared: Stage) -> None:
    plain, escaped = [await shared.http.get(f"/v1/models/{name}") for name in ("acme/large-1", "acme%2Flarge-1")]
    assert plain.json() == escaped.json()
    assert plain.json()["id"] == "acme/large-1"
    assert (await shared.http.get("/v1/models/acme/large-1/")).status_code == 404
