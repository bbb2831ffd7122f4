"""Shown with the real client: chats through a gateway to NEAR's machines, alone and behind theirs, sealed, signed, and every cheat refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import uvloop

from ollm.testing.mint.signer import MODEL
from ollm.testing.providers.near import NearServer, Signing
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.sealing.cheats import Cheat
from tests.stage import MODEL as DEMO
from tests.stage import Stage, configuration, error_of, opened, policy_table
from tests.wiretap import tapped

CANARY = "the canary sings at midnight"


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@asynccontextmanager
async def staged(folder: Path, server: NearServer, *, adapter: str = "near", **service: Any) -> AsyncIterator[Stage]:
    """A gateway before `server`; `service` are members of the policy's table of that name."""
    async with tapped(server) as tap:
        tree = configuration(
            {"near": tap},
            upstream={"adapter": adapter, "model": MODEL},
            models={DEMO: {"upstreams": ["near"], "upstream_model": MODEL}},
            policies={"near": _with(policy_table(server.policy), service)},
        )
        async with opened(folder, tree) as stage:
            yield stage
        assert tap.sent_bytes > 0
        assert all(CANARY.encode() not in stream for stream in tap.sent)


def _with(table: dict[str, Any], service: dict[str, Any]) -> dict[str, Any]:
    return {**table, "service": {**table["service"], **service}}


def client_of(stage: Stage) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key=stage.api_key, max_retries=0)


async def said(stage: Stage, *, stream: bool) -> str:
    """What the real client understands of an answer."""
    async with client_of(stage) as client:
        messages: Any = [{"role": "user", "content": CANARY}]
        if not stream:
            whole = await client.chat.completions.create(model=DEMO, messages=messages)
            return whole.choices[0].message.content or ""
        pieces = await client.chat.completions.create(model=DEMO, messages=messages, stream=True)
        return "".join([piece.choices[0].delta.content or "" async for piece in pieces if piece.choices])


async def signature_event(stage: Stage, *, stream: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The receipt's event about the signature, and the types of all events in their order."""
    response = await stage.chat(CANARY, stream=stream)
    assert response.status_code == 200, response.text
    log = (await stage.receipt(response))["event_log"]
    return next(event for event in log if event["type"] == "ollm.response_signature"), [event["type"] for event in log]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("behind", [False, True], ids=["direct", "gateway"])
async def test_a_chat_is_sealed_answered_and_signed(socket_dir: Path, *, behind: bool, stream: bool) -> None:
    async with NearServer(behind=behind) as server, staged(socket_dir, server) as stage:
        assert await said(stage, stream=stream) == ANSWER
        assert all(CANARY.encode() not in body for body in server.bodies)
        assert server.asked[0]["messages"][0]["content"] == CANARY
        event, types = await signature_event(stage, stream=stream)
        assert event["result"] == "verified"
        assert (event["kind"], event["algorithm"], event["address"]) == ("model", "ed25519", server.signer.key.address.hex())
        assert types[-2:] == ["ollm.response_signature", "response.returned"]
        assert types.index("ollm.sealed") < types.index("ollm.response_signature")


async def test_what_a_session_says(socket_dir: Path) -> None:
    async with NearServer(behind=True) as server, staged(socket_dir, server) as stage:
        response = await stage.chat(CANARY)
        cited = next(event["session_id"] for event in (await stage.receipt(response))["event_log"] if event["type"] == "upstream.verified")
        session = (await stage.http.get(f"/v1/aci/sessions/{cited}")).json()
        assert [binding["type"] for binding in session["channel_binding"]] == ["tls_spki_sha256", "e2ee_public_key_sha256"]
        assert session["channel_binding"][0]["spki_sha256"] == server.fingerprint
        assert session["identity"]["key_custody"] == "app_kms"
        assert session["claims"]["extra"]["manager_files"] == f"model.yaml={'22' * 32}"


async def test_only_the_gateway_is_shown_the_key_and_told_the_model(socket_dir: Path) -> None:
    async with NearServer(behind=True) as server, staged(socket_dir / "a", server) as stage:
        await said(stage, stream=False)
        assert server.queries[0]["model"] == MODEL
        assert all(head["x-no-aliasing"] == "1" for head in server.heads)
        assert next(head for head in server.heads if "x-client-pub-key" in head)["x-model-pub-key"] == server.signer.key.address.hex()
    async with NearServer() as alone, staged(socket_dir / "b", alone) as stage:
        await said(stage, stream=False)
        assert set(alone.queries[0]) == {"include_tls_fingerprint", "nonce", "signing_algo"}


def _signer(document: dict[str, Any]) -> dict[str, Any]:
    return document["model_attestations"][0] if "model_attestations" in document else document


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def bend(document: dict[str, Any]) -> None:
        _signer(document)[name] = value

    return bend


def _other_key(document: dict[str, Any]) -> None:
    _signer(document)["signing_address"] = _signer(document)["signing_public_key"] = "77" * 32


def _other_compose(document: dict[str, Any]) -> None:
    _signer(document)["info"]["tcb_info"]["app_compose"] += " "


def _dropped_action(document: dict[str, Any]) -> None:
    del _signer(document)["compose_manager_attestation"]["actions"][0]


CHEATS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a swapped key": (_other_key, "binding.statement"),
    "another channel": (_set("tls_cert_fingerprint", "11" * 32), "binding.statement"),
    "no channel": (lambda document: _signer(document).pop("tls_cert_fingerprint"), "signer.fingerprint"),
    "another model": (_set("model_name", "other/Model"), "signer.model"),
    "an old nonce": (_set("request_nonce", "22" * 32), "signer.nonce"),
    "another kind of key": (_set("signing_algo", "ecdsa"), "signer.format"),
    "another compose file": (_other_compose, "compose.hash"),
    "an action left out": (_dropped_action, "manager.actions"),
    "no statement of the manager": (lambda document: _signer(document).pop("compose_manager_attestation"), "manager.format"),
    "a report of another shape": (lambda document: document.update(api_version="aci/1"), "report.shape"),
}


@pytest.mark.parametrize("name", CHEATS)
async def test_a_report_that_cheats_is_refused_and_named(name: str, socket_dir: Path) -> None:
    bend, check = CHEATS[name]
    async with NearServer() as server, staged(socket_dir, server) as stage:
        server.bend = bend
        response = await stage.chat(CANARY)
        assert response.status_code == 503
        assert server.bodies == []
        log = (await stage.receipt(response))["event_log"]
        verified = next(event for event in log if event["type"] == "upstream.verified")
        assert verified["result"] == "failed"
        assert verified["reason"].startswith(check)
        assert not any(event["type"] == "request.forwarded" for event in log)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("signing", "result"),
    [
        (Signing.LATE, "verified"),
        (Signing.MISSING, "missing"),
        (Signing.REFUSED, "missing"),
        (Signing.UNSUPPORTED, "missing"),
        (Signing.OTHER_ANSWER, "failed"),
        (Signing.OTHER_REQUEST, "failed"),
        (Signing.OTHER_MODEL, "failed"),
        (Signing.OTHER_KEY, "failed"),
        (Signing.GATEWAY, "failed"),
    ],
)
async def test_what_became_of_a_signature_stands_in_the_receipt(signing: Signing, result: str, socket_dir: Path, *, stream: bool) -> None:
    async with NearServer() as server, staged(socket_dir, server) as stage:
        server.signing = signing
        event, _ = await signature_event(stage, stream=stream)
        assert event["result"] == result


@pytest.mark.parametrize("signing", [Signing.MISSING, Signing.OTHER_ANSWER])
async def test_where_a_signature_is_demanded_an_unsigned_answer_is_none(signing: Signing, socket_dir: Path) -> None:
    async with NearServer() as server, staged(socket_dir, server, require_signature=True) as stage:
        assert await said(stage, stream=True) == ANSWER
        server.signing = signing
        refused = await stage.chat(CANARY)
        assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_unsigned")
        assert ANSWER not in refused.text
        log = (await stage.receipt(refused))["event_log"]
        assert next(event for event in log if event["type"] == "ollm.response_signature")["result"] in ("missing", "failed")
        streamed = await stage.chat(CANARY, stream=True)
        assert b"[DONE]" not in streamed.content
        assert json.loads(streamed.content.split(b"data: ")[-1])["error"]["code"] == "upstream_unsigned"


@pytest.mark.parametrize("cheat", [Cheat.PLAINTEXT, Cheat.SWAPPED_KEY])
async def test_an_answer_that_is_not_sealed_to_us_never_gets_through(cheat: Cheat, socket_dir: Path) -> None:
    async with NearServer() as server, staged(socket_dir, server) as stage:
        server.answers = cheat
        whole = await stage.chat(CANARY)
        assert (whole.status_code, error_of(whole)["code"]) == (502, "upstream_unsealed")
        streamed = await stage.chat(CANARY, stream=True)
        assert b"[DONE]" not in streamed.content
        assert ANSWER.encode() not in streamed.content


@pytest.mark.parametrize("cheat", [Cheat.DROPPED, Cheat.REORDERED, Cheat.DUPLICATED, Cheat.TRUNCATED])
async def test_a_stream_that_was_changed_on_the_way_has_no_signature_that_holds(cheat: Cheat, socket_dir: Path) -> None:
    """The cipher can't tell. What is signed is what the machine sent; whoever changes it after that has no signature over it."""
    async with NearServer() as server, staged(socket_dir, server) as stage:
        server.answers, server.signing = cheat, Signing.OTHER_ANSWER
        event, _ = await signature_event(stage, stream=True)
        assert event["result"] == "failed"


async def test_a_key_that_no_machine_holds_any_more_is_verified_anew(socket_dir: Path) -> None:
    async with NearServer(behind=True) as server, staged(socket_dir, server) as stage:
        await said(stage, stream=False)
        server.refusing = 1
        assert await said(stage, stream=False) == ANSWER
        assert len(server.queries) == 2


async def test_content_that_the_gateway_would_see_is_refused_before_anything_leaves(socket_dir: Path) -> None:
    async with NearServer(behind=True) as server, staged(socket_dir / "a", server) as stage:
        response = await stage.chat(CANARY, user="somebody")
        assert response.status_code == 400
        assert server.bodies == []
    async with NearServer() as alone, staged(socket_dir / "b", alone) as stage:
        assert (await stage.chat(CANARY, user="somebody")).status_code == 200


async def test_a_machine_whose_queue_is_full_limits_the_rate(socket_dir: Path) -> None:
    async with NearServer() as server, staged(socket_dir, server) as stage:
        server.refusing, server.refusal = 3, 503
        response = await stage.chat(CANARY)
        assert (response.status_code, error_of(response)["code"]) == (429, "upstream_rate_limited")
        assert len(server.bodies) == 3, "as often as the budget of attempts allows"
