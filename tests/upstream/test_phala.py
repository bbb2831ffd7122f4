"""dstack's vLLM proxy as a provider: the form that names the channel is asked for, and chats go over that channel, signed either way."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ollm.attest.services.evidence import Bound
from ollm.config.settings import UpstreamSettings
from ollm.net.fetch import HttpFetch
from ollm.testing.mint.signer import MODEL, Key, ecdsa, ed25519
from ollm.testing.providers.near import SEED, NearServer
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.upstream.asking import asking
from ollm.upstream.phala import PhalaProvider
from ollm.upstream.provider import Tools
from tests.attest.services.dstack_signer.signers import NONCE
from tests.stage import MODEL as DEMO
from tests.stage import configuration, opened

CANARY = "the canary sings at midnight"


def provider(server: NearServer, **settings: Any) -> PhalaProvider:
    used = UpstreamSettings(url=server.url, policy="p", adapter="phala", **{"model": MODEL, **settings})
    return PhalaProvider(used, None, Tools(asking, HttpFetch(), "", server.policy))


@pytest.mark.parametrize("key", [ecdsa(), ed25519(SEED)], ids=lambda key: key.algorithm)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_chat_over_the_attested_channel(key: Key, socket_dir: Path, *, stream: bool) -> None:
    async with NearServer(key=key, sealed=False) as server:
        server.bend = lambda document: document.pop("ohttp_attestation")
        tree = configuration(
            {"phala": server}, upstream={"adapter": "phala", "model": MODEL}, models={DEMO: {"upstreams": ["phala"], "upstream_model": MODEL}}
        )
        async with opened(socket_dir, tree) as stage:
            response = await stage.chat(CANARY, stream=stream)
            assert response.status_code == 200, response.text
            assert server.asked[0]["messages"][0]["content"] == CANARY
            log = (await stage.receipt(response))["event_log"]
            signature = next(event for event in log if event["type"] == "ollm.response_signature")
            assert (signature["result"], signature["algorithm"]) == ("verified", key.algorithm)
            assert not any(event["type"] == "ollm.sealed" for event in log)
            if not stream:
                assert response.json()["choices"][0]["message"]["content"] == ANSWER


async def test_the_form_that_names_the_channel_is_asked_for_once_it_is_a_signer() -> None:
    async with NearServer(key=ecdsa(), sealed=False) as server:
        gathered = await provider(server).gather(NONCE)
        assert [asked.get("version") for asked in server.queries] == [None, "2"]
        assert "tls_cert_fingerprint" in json.loads(gathered.evidence.documents["report"])
        assert gathered.connection is not None
        gathered.connection.abort("close", "test")


def _chutes(document: dict[str, Any]) -> None:
    document.clear()
    document.update(attestation_type="chutes", nonce="00" * 32, all_attestations=[])


@pytest.mark.parametrize("bend", [_chutes, lambda document: document.clear()], ids=["another shape", "no shape"])
async def test_of_any_other_shape_the_first_answer_is_judged(bend: Callable[[dict[str, Any]], object]) -> None:
    async with NearServer(sealed=False) as server:
        server.bend = bend
        gathered = await provider(server, model=None).gather(NONCE)
        assert [set(asked) for asked in server.queries] == [{"nonce"}]
        assert gathered.connection is not None
        gathered.connection.abort("close", "test")


async def test_what_is_no_json_is_left_to_the_reader() -> None:
    asker = _Says(b"<html>")
    async with NearServer(sealed=False) as server:
        assert await provider(server)._report(asker, NONCE) == b"<html>"  # type: ignore[arg-type]  # an Asker as far as it is asked
    assert asker.asked == ["/v1/attestation/report?" + urlencode({"model": MODEL, "nonce": NONCE})]


class _Says:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked: list[str] = []

    async def get(self, target: str, **_: Mapping[str, Any]) -> "_Says":
        self.asked.append(target)
        return self


async def test_nothing_is_sealed() -> None:
    async with NearServer(sealed=False) as server:
        assert await provider(server).cipher(Bound(spkis=())) is None
        assert provider(server).demand.channel
