"""NEAR AI as a provider: what it is asked, on which connection, and what it seals to. Whole chats are in tests/testing/providers."""

import json
from typing import Any

import msgspec
import pytest

from ollm.config.settings import UpstreamSettings
from ollm.errors import ConfigError, UpstreamError
from ollm.net.fetch import HttpFetch
from ollm.ports import Fetched
from ollm.seal.near import NearCipher
from ollm.testing.mint.signer import MODEL
from ollm.testing.providers.near import NearServer
from ollm.upstream.asking import asking
from ollm.upstream.near import NearProvider
from ollm.upstream.provider import Tools
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy, NvidiaPolicy
from ollm.values.secret import Sealed
from tests.attest.services.dstack_signer.signers import NONCE, behind_gateway, direct, gateway, judged, policy, signer


def provider(server: NearServer, *, fetch: Any = None, accepted: AttestationPolicy | None = None, **settings: Any) -> NearProvider:
    used = UpstreamSettings(url=server.url, policy="p", adapter="near", **{"model": MODEL, **settings})
    return NearProvider(used, Sealed(b"sk-test"), Tools(asking, fetch or HttpFetch(), "https://nras.test", accepted or server.policy))


async def test_a_machine_is_asked_without_the_key() -> None:
    async with NearServer() as server:
        gathered = await provider(server).gather(NONCE)
        assert gathered.connection is not None
        assert gathered.evidence.peer_spki_sha256 == server.fingerprint
        assert json.loads(gathered.evidence.documents["report"])["request_nonce"] == NONCE
        assert (gathered.evidence.model, gathered.evidence.host) == (MODEL, "127.0.0.1")
        assert "authorization" not in server.heads[0]
        gathered.connection.abort("close", "test")


async def test_the_gateway_is_asked_with_the_key_and_for_a_model() -> None:
    async with NearServer(behind=True) as server:
        gathered = await provider(server).gather(NONCE)
        assert gathered.connection is not None
        assert server.heads[0]["authorization"] == "Bearer sk-test"
        assert server.queries[0] == {"include_tls_fingerprint": "true", "model": MODEL, "nonce": NONCE, "signing_algo": "ed25519"}
        gathered.connection.abort("close", "test")


async def test_a_model_must_be_named() -> None:
    async with NearServer() as server:
        with pytest.raises(ConfigError, match="names no model"):
            provider(server, model=None)


async def test_what_bodies_are_sealed_to() -> None:
    async with NearServer() as server:
        _, bound = judged(direct())
        assert bound is not None
        cipher = await provider(server).cipher(bound)
        assert isinstance(cipher, NearCipher)
        sealed, _ = cipher.seal("/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', streamed=False)
        assert "X-Model-Pub-Key" not in dict(sealed.headers)
        assert provider(server, seal="tls").demand.seal is False
        assert await provider(server).cipher(msgspec.structs.replace(bound, sealing=())) is None
    async with NearServer(behind=True) as front:
        _, bound = judged(gateway(), behind_gateway())
        assert bound is not None
        cipher = await provider(front).cipher(bound)
        assert cipher is not None
        sealed, _ = cipher.seal("/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', streamed=False)
        assert dict(sealed.headers)["X-Model-Pub-Key"] == signer("genuine").key.address.hex()


class Nvidia:
    """NVIDIA's service, as far as being asked goes."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.bodies: list[bytes] = []

    async def get(self, url: str) -> Fetched:
        raise AssertionError(url)

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        self.bodies.append(body)
        return Fetched(self.status, {}, b"[tokens]")


def by_word() -> AttestationPolicy:
    return msgspec.structs.replace(policy(), nvidia=NvidiaPolicy(accept=("nras",)))


async def test_nvidias_word_is_asked_for_the_very_evidence_where_the_policy_wants_it() -> None:
    async with NearServer() as server:
        server.signer = msgspec.structs.replace(server.signer, devices=signer("two GPUs").devices)
        service = Nvidia()
        gathered = await provider(server, fetch=service, accepted=by_word()).gather(NONCE)
        assert gathered.evidence.documents["nras"] == b"[tokens]"
        assert service.bodies == [json.loads(gathered.evidence.documents["report"])["nvidia_payload"].encode()]
        assert gathered.connection is not None
        gathered.connection.abort("close", "test")
        with pytest.raises(UpstreamError, match="answered 500"):
            await provider(server, fetch=Nvidia(500), accepted=by_word()).gather(Hex32("11" * 32))


async def test_where_there_are_no_gpus_nobody_is_asked() -> None:
    async with NearServer() as server:
        service = Nvidia()
        gathered = await provider(server, fetch=service, accepted=by_word()).gather(NONCE)
        assert service.bodies == []
        assert set(gathered.evidence.documents) == {"report"}
        assert gathered.connection is not None
        gathered.connection.abort("close", "test")
