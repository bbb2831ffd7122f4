"""Providers without evidence, through a whole gateway: real sockets, real TLS, the real `openai` client."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from ollm.config.settings import UpstreamSettings
from ollm.errors import ApiError
from ollm.sim.service import SimEnclave, SimOptions
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.providers.zdr import ZdrServer
from ollm.upstream.zdr import PROFILES, ZdrProvider
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Status
from ollm.values.level import Level
from ollm.values.secret import Sealed
from tests.stage import MODEL, PROMPT, Stage, configuration, error_of, eventually, opened, policy_table, upstream_table
from tests.wiretap import tapped

PATHS = {"openai": "/v1", "anthropic": "/v1", "openrouter": "/api/v1", "openai-compatible": "/v1"}
CHAT = "/chat/completions"


def tree(server: Any, adapter: str = "openai-compatible", *, floor: str = "zdr", **upstream: Any) -> dict[str, Any]:
    """A configuration with one such route."""
    route = {"url": server.url, "adapter": adapter, "ca": server.ca, **upstream}
    models = {MODEL: {"upstreams": ["open"], "upstream_model": "theirs"}}
    return {**configuration({}, gateway={"floor": floor}, models=models), "upstreams": {"open": route}}


def client_of(stage: Stage) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key)


def events_of(receipt: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {event["type"]: event for event in receipt["event_log"]}


@pytest.mark.parametrize("adapter", PROFILES)
async def test_whole_and_streamed_chats_with_the_openai_client(adapter: str, socket_dir: Path) -> None:
    async with ZdrServer() as server:
        server.comments = adapter == "openrouter"
        async with opened(socket_dir, tree(server, adapter)) as stage, client_of(stage) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": PROMPT}])
            assert answer.choices[0].message.content == ANSWER
            chunks = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": PROMPT}], stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
            assert text == ANSWER
        assert [asked.path for asked in server.asked] == [PATHS[adapter] + CHAT] * 2
        assert all(json.loads(asked.body)["model"] == "theirs" for asked in server.asked)


async def test_the_receipt_says_that_nothing_was_verified(socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat()
        assert (response.status_code, response.headers["x-ollm-execution"]) == (200, "zdr")
        log = events_of(await stage.receipt(response))
        verified = log["upstream.verified"]
        assert (verified["required"], verified["result"], verified["reason"]) == (False, "failed", "no_attestation")
        assert "session_id" not in verified
        assert "ollm.sealed" not in log
        entry = await stage.entry(response)
        assert (entry.status, entry.level, entry.session_id) == (Status.COMPLETED, "zdr", None)
        assert entry.usage.output_tokens == 7


async def test_the_receipt_hashes_what_was_sent_not_what_the_client_wrote(socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server, "openrouter")) as stage:
        response = await stage.chat(provider={"zdr": False, "quantizations": ["x"]})
        [asked] = server.asked
        assert json.loads(asked.body)["provider"] == {"zdr": True, "quantizations": ["x"], "data_collection": "deny"}
        assert events_of(await stage.receipt(response))["request.forwarded"]["body_hash"] == sha256_of(asked.body)


@pytest.mark.parametrize(
    ("adapter", "members", "param"),
    [
        ("openrouter", {"plugins": [{"id": "web"}]}, "plugins"),
        ("openrouter", {"models": ["other"]}, "models"),
        ("openrouter", {"tools": [{"type": "openrouter:web_search"}]}, "tools"),
        ("openai", {"audio": {"voice": "a", "format": "wav"}}, "audio"),
    ],
)
async def test_what_the_contract_does_not_cover_is_not_sent(adapter: str, members: dict[str, Any], param: str, socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server, adapter)) as stage:
        response = await stage.chat(**members)
        assert response.status_code == 400
        error = error_of(response)
        assert (error["param"], error["code"]) == (param, "invalid_request")
        assert server.asked == []
        assert stage.under_way == 0


@pytest.mark.parametrize("adapter", PROFILES)
def test_forced_members_of_each_profile(adapter: str) -> None:
    provider = ZdrProvider(UpstreamSettings(url="https://a.example", adapter=adapter), None)
    expected = {
        "openai": b'{"model":"m","store":false}',
        "openrouter": b'{"model":"m","provider":{"zdr":true,"data_collection":"deny"}}',
        "anthropic": b'{"model":"m"}',
        "openai-compatible": b'{"model":"m"}',
    }
    assert provider.rewrite("chat.completions", b'{"model":"m"}') == expected[adapter]
    if adapter in ("openai", "openrouter"):
        with pytest.raises(ApiError):
            provider.rewrite("chat.completions", b"[]")


def test_openai_keeps_no_prompt_cache_for_a_day() -> None:
    provider = ZdrProvider(UpstreamSettings(url="https://a.example", adapter="openai"), None)
    assert provider.rewrite("chat.completions", b'{"prompt_cache_retention":"24h","store":true}') == b'{"store":false}'


@pytest.mark.parametrize(
    ("url", "path"),
    [("https://a.example", "/v1"), ("https://a.example/", "/v1"), ("https://a.example/openai/v1", "/openai/v1"), ("https://a.example/x/", "/x")],
)
def test_the_base_of_a_compatible_api_is_its_urls_path(url: str, path: str) -> None:
    provider = ZdrProvider(UpstreamSettings(url=url, adapter="openai-compatible"), Sealed(b"sk-secret"))
    assert provider.path("/v1/chat/completions") == path + CHAT
    head = provider.head(path + CHAT, 2, "application/json", {"x-more": "1"})
    assert head.startswith(f"POST {path}{CHAT} HTTP/1.1\r\nhost: a.example\r\n".encode())
    assert b"\r\nauthorization: Bearer sk-secret\r\n" in head and b"\r\nx-more: 1\r\n" in head


async def test_the_providers_headers_go_along_and_nothing_of_the_client(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ZdrServer() as server:
        monkeypatch.setenv("THEIR_KEY", "sk-theirs")
        async with opened(socket_dir, tree(server, "anthropic", api_key="env:THEIR_KEY")) as stage:
            await stage.http.post("/v1/chat/completions", json={"model": MODEL, "messages": []}, headers={"x-custom": "mine", "user-agent": "me"})
        [asked] = server.asked
        assert asked.headers["authorization"] == "Bearer sk-theirs"
        assert asked.headers["anthropic-version"] == "2023-06-01"
        assert set(asked.headers) == {"host", "user-agent", "accept", "authorization", "anthropic-version", "content-type", "content-length"}


async def test_a_prompt_is_never_on_the_wire_in_the_clear(socket_dir: Path) -> None:
    async with ZdrServer() as server, tapped(server) as tap:
        tap.ca = server.ca  # type: ignore[attr-defined]  # what the configuration asks a server for
        async with opened(socket_dir, tree(tap)) as stage:
            assert (await stage.chat("canary-93f1")).status_code == 200
        assert b"canary-93f1" in server.asked[0].body
        assert tap.sent_bytes > 0 and b"canary-93f1" not in b"".join(tap.sent)


# Who the peer is


async def test_a_certificate_of_another_authority_gets_no_prompt(socket_dir: Path) -> None:
    async with ZdrServer() as server, ZdrServer() as other, opened(socket_dir, tree(server, ca=other.ca)) as stage:
        response = await stage.chat()
        assert response.status_code == 502
        assert "(phase: connect)" in error_of(response)["message"]
        assert server.asked == []


async def test_a_certificate_for_another_name_gets_no_prompt(socket_dir: Path) -> None:
    async with ZdrServer(host="provider.test") as server, opened(socket_dir, tree(server)) as stage:
        assert (await stage.chat()).status_code == 502
        assert server.asked == []


async def test_without_a_ca_only_public_ones_are_believed(socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server, ca=None)) as stage:
        assert (await stage.chat()).status_code == 502
        assert server.asked == []


async def test_no_redirect_is_followed(socket_dir: Path) -> None:
    async with ZdrServer() as server, ZdrServer() as elsewhere, opened(socket_dir, tree(server)) as stage:
        server.elsewhere = elsewhere.url
        assert (await stage.chat()).status_code == 502
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("adapter", "theirs", "ours", "code"),
    [
        ("openai", 401, 502, "upstream_credentials"),
        ("openai", 404, 502, "upstream_model_missing"),
        ("openai", 429, 429, "upstream_rate_limited"),
        ("anthropic", 529, 502, "upstream_error"),
        ("openrouter", 402, 502, "upstream_credentials"),
        ("openrouter", 403, 400, "upstream_rejected"),
        ("openai-compatible", 400, 400, "upstream_rejected"),
        ("openai-compatible", 503, 502, "upstream_error"),
    ],
)
async def test_errors_are_told_in_our_words(adapter: str, theirs: int, ours: int, code: str, socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server, adapter)) as stage:
        server.status = theirs
        response = await stage.chat("canary-93f1")
        assert (response.status_code, error_of(response)["code"]) == (ours, code)
        assert "canary" not in response.text


# Levels


async def test_a_key_that_demands_a_tee_gets_no_route_without_evidence(socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server)) as stage:
        response = await with_key(stage, Level.TEE)
        assert (response.status_code, error_of(response)["code"]) == (403, "execution_level")
        assert server.asked == []
        assert (await with_key(stage, Level.ZDR)).status_code == 200


async def test_a_request_that_demands_verification_gets_none_either(socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server)) as stage:
        assert (await stage.chat(provider={"aci_verified": True})).status_code == 403
        assert (await stage.chat(provider={"aci_session_ids": ["ab" * 32]})).status_code == 412
        assert server.asked == []


async def test_a_gateway_whose_floor_is_a_tee_has_no_such_route(socket_dir: Path) -> None:
    async with ZdrServer() as server, opened(socket_dir, tree(server, floor="tee")) as stage:
        assert (await stage.chat()).status_code == 403
        assert server.asked == []


def mixed(enclave: SimEnclave, server: ZdrServer, order: list[str]) -> dict[str, Any]:
    """A tee that can't be verified (it is simulated, and held to a vendor's root), a route without evidence, and a simulated one."""
    table = policy_table(enclave.policy)
    del table["tdx"]["simulated_root_sha256"]
    found = configuration({"played": enclave}, gateway={"floor": "simulated"}, models={MODEL: {"upstreams": order}})
    found["policies"]["real"] = {**table, "level": "tee"}
    found["upstreams"] |= {"real": upstream_table(enclave, "real"), "open": {"url": server.url, "adapter": "openai-compatible", "ca": server.ca}}
    return found


@pytest.mark.parametrize("order", [["real", "open"], ["real", "played"], ["real", "open", "played"]], ids=" ".join)
async def test_a_refused_machine_never_leads_to_a_lower_level(order: list[str], socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, ZdrServer() as server, opened(socket_dir, mixed(enclave, server, order)) as stage:
        response = await stage.chat()
        assert response.status_code == 503
        assert error_of(response)["code"] == "upstream_verification_failed"
        assert server.asked == [] and enclave.counters.prompt_bytes == 0
        assert events_of(await stage.receipt(response))["upstream.verified"]["required"] is True


async def test_a_lower_level_that_stands_first_serves_whoever_accepts_it(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, ZdrServer() as server, opened(socket_dir, mixed(enclave, server, ["open", "real"])) as stage:
        assert (await stage.chat()).headers["x-ollm-execution"] == "zdr"
        assert (await with_key(stage, Level.TEE)).status_code == 503


async def test_an_outage_may_lead_to_a_lower_level(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, ZdrServer() as server, opened(socket_dir, mixed(enclave, server, ["open", "played"])) as stage:
        await stage.gateway.keepers["played"].session(5)
        await server.__aexit__()
        assert (await stage.chat()).headers["x-ollm-execution"] == "simulated"


async def with_key(stage: Stage, require: Level) -> Any:
    """A chat with a fresh key that requires this level."""
    known = len(stage.gateway.keys._credentials)  # type: ignore[attr-defined]  # seen within a second
    key = await stage.new_key(require=require)
    await eventually(lambda: len(stage.gateway.keys._credentials) > known)  # type: ignore[attr-defined]
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
    return await stage.http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
