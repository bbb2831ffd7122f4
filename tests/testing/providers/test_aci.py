"""Shown with the real client: chats through a gateway to an ACI/1 service that takes sealed fields, and every cheat refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import uvloop

from ollm.app.catalogue import catalogue_of
from ollm.testing.providers.aci import AciServer, Lie
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.sealing.aci import SECP256K1, X25519
from ollm.testing.sealing.cheats import Cheat
from tests.stage import MODEL, Stage, configuration, error_of, opened
from tests.wiretap import tapped

CANARY = "the canary sings at midnight"


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@asynccontextmanager
async def staged(folder: Path, server: AciServer, *, seal: str = "aci-e2ee-v2") -> AsyncIterator[Stage]:
    async with tapped(server) as tap:
        tree = configuration(
            {"aci": tap}, upstream={"adapter": "aci", "seal": seal}, models={MODEL: {"upstreams": ["aci"], "upstream_model": "theirs"}}
        )
        async with opened(folder, tree) as stage:
            yield stage
        assert tap.sent_bytes > 0
        assert all(CANARY.encode() not in stream for stream in tap.sent)


async def said(stage: Stage, *, stream: bool) -> str:
    """What the real client understands of an answer."""
    async with openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key=stage.api_key, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": CANARY}]
        if not stream:
            whole = await client.chat.completions.create(model=MODEL, messages=messages)
            return whole.choices[0].message.content or ""
        pieces = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join([piece.choices[0].delta.content or "" async for piece in pieces if piece.choices])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("algo", [X25519, SECP256K1], ids=["x25519", "secp256k1"])
async def test_a_chat_is_sealed_field_by_field_and_answered(socket_dir: Path, algo: str, *, stream: bool) -> None:
    async with AciServer(algo=algo) as server, staged(socket_dir, server) as stage:
        assert await said(stage, stream=stream) == ANSWER
        assert all(CANARY.encode() not in body for body in server.bodies)
        assert server.asked[0]["messages"][0]["content"] == CANARY
        assert server.refusals == []


async def test_what_receipt_and_session_say(socket_dir: Path) -> None:
    async with AciServer() as server, staged(socket_dir, server) as stage:
        log = (await stage.receipt(await stage.chat(CANARY)))["event_log"]
        assert [event["type"] for event in log].count("ollm.sealed") == 1
        cited = next(event["session_id"] for event in log if event["type"] == "upstream.verified")
        session = (await stage.http.get(f"/v1/aci/sessions/{cited}")).json()
        assert [binding["type"] for binding in session["channel_binding"]] == ["tls_spki_sha256", "e2ee_public_key_sha256"]
        assert session["channel_binding"][1]["algorithm"] == X25519
        assert session["identity"]["key_custody"] == "app_kms"


def _swapped(document: dict[str, Any]) -> None:
    document["attestation"]["workload_keyset"]["e2ee_public_keys"][0]["public_key"] = "77" * 32


EVIDENCE: dict[str, tuple[Lie, Callable[[dict[str, Any]], object], str]] = {
    "no key": (Lie.NO_KEY, lambda document: None, "channel.field_key"),
    "a suite that nobody defines": (Lie.ANOTHER_SUITE, lambda document: None, "channel.field_key"),
    "no key in its place": (Lie.MALFORMED, lambda document: None, "channel.field_key"),
    "two keys": (Lie.TWO, lambda document: None, "channel.field_key"),
    "a key swapped on the way": (Lie.NONE, _swapped, "keyset.digest"),
    "another protocol": (Lie.NONE, lambda document: document.update(api_version="aci/2"), "report.version"),
}


@pytest.mark.parametrize("name", EVIDENCE)
async def test_evidence_that_cheats_is_refused_and_named(name: str, socket_dir: Path) -> None:
    lie, bend, check = EVIDENCE[name]
    async with AciServer(lie=lie) as server, staged(socket_dir, server) as stage:
        server.bend = bend
        response = await stage.chat(CANARY)
        assert (response.status_code, error_of(response)["code"]) == (503, "upstream_verification_failed")
        assert check in response.text
        log = (await stage.receipt(response))["event_log"]
        assert any(event.get("reason", "").startswith(check) for event in log)
        assert server.bodies == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("cheat", [Cheat.SWAPPED_KEY, Cheat.PLAINTEXT, Cheat.REFLECTED])
async def test_an_answer_that_does_not_open_is_no_answer(cheat: Cheat, socket_dir: Path, *, stream: bool) -> None:
    async with AciServer() as server, staged(socket_dir, server) as stage:
        server.answers = cheat
        response = await stage.chat(CANARY, stream=stream)
        assert ANSWER.split()[2] not in response.text
        assert "upstream_unsealed" in response.text
        assert (await stage.entry(response)).status.name == "UPSTREAM_FAILED"


async def test_a_key_that_changed_is_verified_anew_and_the_request_sent_again(socket_dir: Path) -> None:
    async with AciServer() as server, staged(socket_dir, server) as stage:
        assert await said(stage, stream=False) == ANSWER
        server.rotate()
        assert await said(stage, stream=False) == ANSWER
        assert (server.refusals, server.reports, len(server.asked)) == (["e2ee_model_key_mismatch"], 2, 2)


async def test_a_key_that_it_does_not_hold_is_given_up_after_a_second_verification(socket_dir: Path) -> None:
    async with AciServer(lie=Lie.NOT_HELD) as server, staged(socket_dir, server) as stage:
        response = await stage.chat(CANARY)
        assert response.status_code == 503
        assert "attested sealing key" in json.dumps((await stage.receipt(response))["event_log"])
        assert server.refusals == ["e2ee_model_key_mismatch"] * 2
        assert server.asked == []


async def test_other_refusals_with_that_status_are_the_clients_affair(socket_dir: Path) -> None:
    async with AciServer() as server, staged(socket_dir, server) as stage:
        server.recipient._used = Everything()  # every nonce counts as used
        response = await stage.chat(CANARY)
        assert (response.status_code, error_of(response)["code"]) == (400, "upstream_rejected")
        assert (server.refusals, server.reports) == (["e2ee_replay_detected"], 1)
        assert CANARY not in response.text


class Everything(set[Any]):
    def __contains__(self, item: object) -> bool:
        return True


async def test_the_attested_channel_alone(socket_dir: Path) -> None:
    async with AciServer() as server, staged(socket_dir, server, seal="tls") as stage:
        assert (await stage.chat(CANARY)).json()["choices"][0]["message"]["content"] == ANSWER
        assert CANARY.encode() in server.bodies[0]


async def test_its_list_has_prices(socket_dir: Path) -> None:
    async with AciServer() as server, staged(socket_dir, server) as stage:
        await stage.chat(CANARY)
        [offer] = (await catalogue_of(stage.loaded, "aci")).offers
        assert (offer.id, offer.input, offer.output, offer.cached) == ("maker/model-1", 350_000, 1_400_000, 35_000)
