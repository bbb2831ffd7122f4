"""Privatemode through a whole gateway: real sockets, real sealing, the real `openai` client, and a deployment that cheats."""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from ollm.attest.services.evidence import Bound, SealingKey
from ollm.config.settings import UpstreamSettings
from ollm.errors import ApiError, ChannelRefused, SealError
from ollm.receipts.session import verify_session
from ollm.testing.mint.contrast import SERVICE_NAME
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.providers.privatemode import ApiCheat, PrivatemodeServer
from ollm.testing.sealing.cheats import Cheat
from ollm.upstream.asking import asking
from ollm.upstream.privatemode import GPU_POLICY, VERSION, PrivatemodeProvider
from ollm.upstream.provider import Rewriting, Tools
from ollm.values.hexes import Hex32
from tests.stage import MODEL, Stage, configuration, error_of, opened, policy_table
from tests.wiretap import tapped

CANARY = "canary-7a1e"
CHAT = "chat.completions"


def tree(server: Any, **service: Any) -> dict[str, Any]:
    policy = server.policy
    policy = msgspec.structs.replace(policy, service=msgspec.structs.replace(policy.service, **service))
    route = {"url": server.url, "adapter": "privatemode", "ca": server.ca, "policy": "privatemode"}
    vendors = {"pcs_url": server.pcs_url, "root_crl_url": server.root_crl_url} if "tdx" in policy.cpu else {}
    found = configuration({}, models={MODEL: {"upstreams": ["privatemode"], "upstream_model": "theirs"}})
    tables = {"policies": {"privatemode": policy_table(policy)}, "upstreams": {"privatemode": {**route, **vendors}}}
    return {**found, **tables, "collateral": {"kds_url": server.kds_url}}


async def told(stage: Stage, *, stream: bool = False, text: str = CANARY) -> str:
    """The answer's text, by the real client."""
    async with openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0) as client:
        if not stream:
            answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
            return answer.choices[0].message.content or ""
        chunks = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


def session_of(stage: Stage) -> str | None:
    return stage.gateway.keepers["privatemode"].state().session_id


@pytest.mark.parametrize("platform", ["tdx", "sev-snp"])
async def test_whole_and_streamed_chats_reach_the_deployment_sealed(platform: Any, socket_dir: Path) -> None:
    async with PrivatemodeServer(platform=platform) as server, opened(socket_dir, tree(server)) as stage:
        assert await told(stage) == ANSWER
        assert await told(stage, stream=True) == ANSWER
        assert [request["messages"][0]["content"] for request in server.asked] == [CANARY] * 2
        assert [request["model"] for request in server.asked] == ["theirs"] * 2
        assert server.agreements == 1


async def test_headers_are_those_that_the_provider_reads(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        assert await told(stage) == ANSWER
        (head,), ((secret_id, secret),) = server.heads, server.service.secrets.items()
        named = {name: value for name, value in head.items() if name.startswith("privatemode-")}
        assert named == {
            "privatemode-version": VERSION,
            "privatemode-secret-id": secret_id,
            "privatemode-target-model": "theirs",
            "privatemode-nvidia-ocsp-policy": GPU_POLICY,
            "privatemode-nvidia-ocsp-policy-mac": hmac.new(secret, GPU_POLICY.encode(), hashlib.sha256).hexdigest(),
        }
        assert "allow-unknown" not in GPU_POLICY and "allow-revoked" not in GPU_POLICY


async def test_the_session_names_manifest_mesh_and_secret_and_no_channel(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat(CANARY)
        log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
        assert (log["upstream.verified"]["result"], log["upstream.verified"]["required"]) == ("verified", True)
        assert "ollm.sealed" in log
        name = log["upstream.verified"]["session_id"]
        document = verify_session(name, (await stage.http.get(f"/v1/aci/sessions/{name}")).content)
        assert [binding["type"] for binding in document["channel_binding"]] == ["e2ee_public_key_sha256"]
        (secret_id,) = server.service.secrets
        identity = document["identity"]
        assert identity["manifest_sha256"] == server.deployment.manifest_sha256
        assert identity["secret_service"] == SERVICE_NAME
        assert identity["secret_sha256"] == base64.b64decode(secret_id).hex()
        assert identity["key_custody"] == "app_kms"
        assert document["expires_at"] - document["established_at"] == 45 * 60
        assert "the coordinator, attested here, verified them, unseen by us" in document["claims"]["extra"]["unproven"]
        assert document["claims"]["extra"]["channel"].endswith("bodies are sealed to the application")


async def test_the_receipt_hashes_what_was_sealed_with_its_salt(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        first, second = [await stage.receipt(await stage.chat(CANARY)) for _ in range(2)]
        hashes = [next(event for event in receipt["event_log"] if event["type"] == "request.forwarded") for receipt in (first, second)]
        assert hashes[0] != hashes[1]
        salts = [request["cache_salt"] for request in server.asked]
        assert len(set(salts)) == 2 and all(len(salt) >= 32 for salt in salts)


async def test_the_prompt_is_ciphertext_even_inside_tls(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, tapped(server) as tap:
        tap.ca, tap.kds_url = server.ca, server.kds_url  # type: ignore[attr-defined]  # what the configuration asks a server for
        async with opened(socket_dir, tree(tap)) as stage:
            assert (await stage.chat(CANARY)).status_code == 200
            assert (await stage.chat(CANARY, stream=True)).status_code == 200
        assert tap.sent_bytes > 0 and CANARY.encode() not in b"".join(tap.sent)
        assert all(CANARY.encode() not in body for body in server.wire)
        assert [request["messages"][0]["content"] for request in server.asked] == [CANARY] * 2


CHEATS = [
    (ApiCheat.OTHER_MANIFEST, "privatemode.manifest"),
    (ApiCheat.TWO_MANIFESTS, "privatemode.manifest"),
    (ApiCheat.MANIFEST_CHANGED, "privatemode.manifest"),
    (ApiCheat.MANIFEST_HIDDEN, "binding.statement"),
    (ApiCheat.STALE, "binding.statement"),
    (ApiCheat.OTHER_WORKLOAD, "privatemode.coordinator"),
    (ApiCheat.OTHER_BUILD, "measurement.reference_values"),
    (ApiCheat.OTHER_MESH_CA, "binding.statement"),
    (ApiCheat.FOREIGN_SERVICE, "privatemode.secret_service"),
    (ApiCheat.OTHER_NAME, "privatemode.secret_service"),
    (ApiCheat.EXPIRED_SERVICE, "privatemode.secret_service"),
    (ApiCheat.OTHER_KEYS, "privatemode.secret"),
    (ApiCheat.SWAPPED_AGREEMENT, "privatemode.secret"),
    (ApiCheat.NO_AGREEMENT, "evidence.fetch"),
]


@pytest.mark.parametrize(("cheat", "check"), CHEATS)
async def test_a_deployment_that_cheats_gets_no_prompt(cheat: ApiCheat, check: str, socket_dir: Path) -> None:
    async with PrivatemodeServer(cheat=cheat) as server:
        async with opened(socket_dir, tree(server)) as stage:
            response = await stage.chat(CANARY)
            assert response.status_code == 503
            assert f"({check}: " in error_of(response)["message"]
            log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
            assert log["upstream.verified"]["reason"].startswith(check)
        assert server.asked == [] and server.wire == []


def test_every_way_of_cheating_with_evidence_is_tried() -> None:
    assert {cheat for cheat, _ in CHEATS} == set(ApiCheat) - {ApiCheat.NONE, ApiCheat.OTHER_MODEL}


@pytest.mark.parametrize(
    ("service", "check"),
    [
        ({"sealed_to_application": False}, "key.custody"),
        ({"custody": ("instance",)}, "key.custody"),
        ({"manifest_sha256": None}, "privatemode.manifest"),
        ({"secret_service": None}, "privatemode.secret_service"),
        ({"secret_service": "elsewhere.example"}, "privatemode.secret_service"),
    ],
)
async def test_what_the_policy_does_not_say_is_refused(service: dict[str, Any], check: str, socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server, **service)) as stage:
        response = await stage.chat(CANARY)
        assert response.status_code == 503
        assert f"({check}: " in error_of(response)["message"]
        assert server.wire == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("cheat", [Cheat.SWAPPED_KEY, Cheat.PLAINTEXT, Cheat.REFLECTED])
async def test_an_answer_that_is_not_sealed_under_the_secret_is_not_passed_on(cheat: Cheat, stream: bool, socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        server.answers = cheat
        response = await stage.chat(CANARY, stream=stream)
        assert response.status_code == 502
        assert error_of(response)["code"] == "upstream_unsealed"
        assert ANSWER not in response.text


@pytest.mark.parametrize("cheat", [Cheat.DROPPED, Cheat.REORDERED, Cheat.DUPLICATED])
async def test_events_that_the_cipher_can_tell_break_the_stream(cheat: Cheat, socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        server.answers = cheat
        response = await stage.chat(CANARY, stream=True)
        assert response.status_code == 502 or b"data: [DONE]" not in response.content


async def test_a_model_exchanged_on_the_way_can_not_be_told(socket_dir: Path) -> None:
    """The provider's page says so: the request names the model in the clear, and any inference machine can answer."""
    async with PrivatemodeServer(cheat=ApiCheat.OTHER_MODEL) as server, opened(socket_dir, tree(server)) as stage:
        assert await told(stage) == ANSWER


async def test_a_secret_that_is_not_known_any_more_leads_to_a_new_verification(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        assert await told(stage) == ANSWER
        before = session_of(stage)
        server.forgetting = 1
        assert await told(stage) == ANSWER
        assert session_of(stage) != before
        assert server.agreements == 2
        assert len(server.wire) == 3 and len(server.asked) == 2


async def test_one_that_is_never_known_is_a_refusal(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        server.forgetting = 10
        response = await stage.chat(CANARY)
        assert (response.status_code, error_of(response)["code"]) == (503, "upstream_verification_failed")
        assert len(server.wire) == 2 and server.asked == []


async def test_other_failures_with_the_same_status_are_the_providers(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        server.failing = True
        response = await stage.chat(CANARY)
        assert (response.status_code, error_of(response)["code"]) == (502, "upstream_error")
        assert "OCSP" not in response.text
        assert len(server.wire) == 3 and server.agreements == 1, "the budget of attempts, under one secret"


async def test_requests_at_once_share_the_sessions_secret(socket_dir: Path) -> None:
    async with PrivatemodeServer() as server, opened(socket_dir, tree(server)) as stage:
        answers = await asyncio.gather(*(stage.chat(f"{CANARY} {number}") for number in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert server.agreements == 1


# The provider's file alone


class _NoFetch:
    async def get(self, url: str) -> Any:
        raise NotImplementedError

    async def post(self, url: str, body: bytes, media_type: str) -> Any:
        raise NotImplementedError


def provider(server: PrivatemodeServer) -> PrivatemodeProvider:
    return PrivatemodeProvider(UpstreamSettings(url=server.url, ca=server.ca), None, Tools(asking, _NoFetch(), "", None))


async def test_each_verification_has_a_secret_of_its_own_and_no_other_session_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with PrivatemodeServer() as server:
        adapter = provider(server)
        found = [await adapter.gather(Hex32("a5" * 32)) for _ in range(2)]
        for each in found:
            assert each.connection is not None
            each.connection.abort("close", "done")
        assert len({each.evidence.documents["agreement_asked"] for each in found}) == 2
        der = server.service_key
        digests = [hashlib.sha256(_public(each.evidence.documents["agreement_asked"])).hexdigest() for each in found]
        ciphers = [await adapter.cipher(bound(der, digest)) for digest in digests]
        sealed = [cipher.seal("/v1/chat/completions", b'{"model":"m","messages":[]}', streamed=False)[0] for cipher in ciphers if cipher]
        assert {dict(each.headers)["Privatemode-Secret-ID"] for each in sealed} == set(server.service.secrets)
        with pytest.raises(ChannelRefused):
            await adapter.cipher(bound(der, "00" * 32))
        monkeypatch.setattr("ollm.upstream.privatemode._LIFE", -1.0)
        gathered = await adapter.gather(Hex32("a5" * 32))
        assert gathered.connection is not None
        gathered.connection.abort("close", "done")
        with pytest.raises(ChannelRefused):
            await adapter.cipher(bound(der, hashlib.sha256(_public(gathered.evidence.documents["agreement_asked"])).hexdigest()))


def _public(document: bytes) -> bytes:
    return base64.b64decode(json.loads(document)["PublicKey"])


def bound(key: bytes, digest: str) -> Bound:
    sealing = SealingKey(cipher="privatemode-v1", algorithm="", public_key=key, custody="app_kms")
    return Bound(spkis=(), sealing=(sealing,), identity={"secret_sha256": digest})


@pytest.mark.parametrize("model", ["", "a model", "a\r\nx: y", 5, None])
async def test_a_model_that_no_header_can_name_is_not_sent(model: Any) -> None:
    async with PrivatemodeServer() as server:
        adapter = provider(server)
        gathered = await adapter.gather(Hex32("a5" * 32))
        assert gathered.connection is not None
        gathered.connection.abort("close", "done")
        digest = hashlib.sha256(_public(gathered.evidence.documents["agreement_asked"])).hexdigest()
        cipher = await adapter.cipher(bound(server.service_key, digest))
        assert cipher is not None
        with pytest.raises(SealError, match="INVALID_INPUT"):
            cipher.seal("/v1/chat/completions", json.dumps({"model": model, "messages": []}).encode(), streamed=False)


def test_a_salt_of_the_clients_own_stays_and_one_that_the_provider_refuses_is_refused_here() -> None:
    adapter = provider(PrivatemodeServer())
    kind: type = Rewriting
    assert isinstance(adapter, kind)
    own = b'{"model":"m","cache_salt":"' + b"s" * 32 + b'"}'
    assert adapter.rewrite(CHAT, own) == own
    assert json.loads(adapter.rewrite(CHAT, b'{"model":"m"}'))["cache_salt"] != json.loads(adapter.rewrite(CHAT, b'{"model":"m"}'))["cache_salt"]
    for wrong in (b'""', b'"' + b"s" * 31 + b'"', b"5", b"null"):
        with pytest.raises(ApiError) as problem:
            adapter.rewrite(CHAT, b'{"model":"m","cache_salt":' + wrong + b"}")
        assert (problem.value.status, problem.value.param) == (400, "cache_salt")
