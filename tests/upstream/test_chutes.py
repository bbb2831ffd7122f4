"""Chutes through a whole gateway: real sockets, real sealing, the real `openai` client, and an API that cheats."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from ollm.attest.services.chutes.appraise import nras_role
from ollm.config.load import parse
from ollm.config.settings import UpstreamSettings
from ollm.errors import ChannelRefused, ConfigError, SealError, UpstreamError
from ollm.net.clock import SystemClock
from ollm.ports import Fetched
from ollm.receipts.session import verify_session
from ollm.testing.mint import nvidia
from ollm.testing.providers.chutes import CHUTE, ApiCheat, ChutesServer
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.sealing.cheats import Cheat
from ollm.upstream.asking import asking
from ollm.upstream.chutes import ChutesProvider, NoncePool, _Once
from ollm.upstream.provider import Tools
from ollm.values.hexes import Hex32
from tests.stage import MODEL, Stage, configuration, error_of, opened, policy_table
from tests.wiretap import tapped

CANARY = "canary-5d0c"


def tree(server: Any, **gateway: Any) -> dict[str, Any]:
    route = {"url": server.url, "adapter": "chutes", "model": CHUTE, "ca": server.ca, "policy": "chutes"}
    collateral = {"pcs_url": server.pcs_url, "root_crl_url": server.root_crl_url}
    models = {MODEL: {"upstreams": ["chutes"], "upstream_model": "theirs"}}
    found = configuration({}, gateway=gateway, models=models)
    return {**found, "policies": {"chutes": policy_table(server.policy)}, "upstreams": {"chutes": {**route, **collateral}}}


async def told(stage: Stage, *, stream: bool = False, text: str = CANARY) -> str:
    """The answer's text, by the real client."""
    async with openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0) as client:
        if not stream:
            answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
            return answer.choices[0].message.content or ""
        chunks = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


async def test_whole_and_streamed_chats_reach_one_instance_sealed(socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        assert await told(stage) == ANSWER
        assert await told(stage, stream=True) == ANSWER
        first, second = server.instances
        assert [request["messages"][0]["content"] for request in first.asked] == [CANARY] * 2
        assert [request["model"] for request in first.asked] == ["theirs"] * 2
        assert second.asked == []
        assert len(set(server.nonces_used)) == len(server.nonces_used) == 2


async def test_the_session_names_the_instance_and_the_key_and_no_channel(socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat(CANARY)
        log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
        assert (log["upstream.verified"]["result"], log["upstream.verified"]["required"]) == ("verified", True)
        assert "ollm.sealed" in log
        name = log["upstream.verified"]["session_id"]
        document = verify_session(name, (await stage.http.get(f"/v1/aci/sessions/{name}")).content)
        assert [binding["type"] for binding in document["channel_binding"]] == ["e2ee_public_key_sha256"]
        assert document["identity"]["instance_id"] == server.instances[0].instance_id
        assert document["identity"]["key_custody"] == "instance"
        assert "which container the instance runs" in document["claims"]["extra"]["unproven"]


async def test_the_prompt_is_ciphertext_even_inside_tls(socket_dir: Path) -> None:
    async with ChutesServer() as server, tapped(server) as tap:
        tap.ca = server.ca  # type: ignore[attr-defined]  # what the configuration asks a server for
        async with opened(socket_dir, tree(tap)) as stage:
            assert (await stage.chat(CANARY)).status_code == 200
        assert tap.sent_bytes > 0 and CANARY.encode() not in b"".join(tap.sent)
        assert server.asked[0]["messages"][0]["content"] == CANARY


async def test_an_instance_that_is_refused_leaves_the_others_in_use(socket_dir: Path) -> None:
    async with ChutesServer(instances=3, unlisted=1) as server, opened(socket_dir, tree(server)) as stage:
        server.instances[1].unreadable = True
        assert await told(stage) == ANSWER
        assert [len(instance.asked) for instance in server.instances] == [0, 0, 1]
        state = stage.gateway.keepers["chutes"].state()
        assert state.appraisal is not None
        [warning] = [text for text in state.appraisal.warnings if "was refused" in text]
        assert warning.startswith(f"instance {server.instances[0].instance_id} was refused: measurement.reference_values")


@pytest.mark.parametrize(
    ("cheat", "check"),
    [
        (ApiCheat.SWAPPED_KEYS, "binding.statement"),
        (ApiCheat.OTHER_INSTANCE, "binding.statement"),
        (ApiCheat.STALE, "binding.statement"),
        (ApiCheat.OTHER_CERTIFICATE, "binding.statement"),
    ],
)
async def test_an_api_that_cheats_with_evidence_gets_no_prompt(cheat: ApiCheat, check: str, socket_dir: Path) -> None:
    async with ChutesServer() as server:
        server.cheat = cheat
        async with opened(socket_dir, tree(server)) as stage:
            response = await stage.chat(CANARY)
            assert response.status_code == 503
            assert f"({check}: " in error_of(response)["message"]
            log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
            assert log["upstream.verified"]["reason"].startswith(check)
        assert server.asked == [] and server.nonces_used == []


@pytest.mark.parametrize("cheat", [ApiCheat.SWAPPED_LATER, ApiCheat.GONE])
async def test_an_instance_that_changed_since_it_was_verified_gets_no_prompt(cheat: ApiCheat, socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        await stage.gateway.keepers["chutes"].session(10)
        server.cheat = cheat
        response = await stage.chat(CANARY)
        assert response.status_code == 503
        assert error_of(response)["code"] == "upstream_verification_failed"
        assert server.asked == [] and server.nonces_used == []


@pytest.mark.parametrize("cheat", [ApiCheat.NO_NONCES, ApiCheat.GARBAGE])
async def test_without_nonces_nothing_is_sent(cheat: ApiCheat, socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        await stage.gateway.keepers["chutes"].session(10)
        server.cheat = cheat
        response = await stage.chat(CANARY)
        assert (response.status_code, error_of(response)["code"]) == (502, "upstream_error")
        assert server.asked == [] and server.nonces_used == []


async def test_no_nonce_is_used_twice_whoever_offers_it_again(socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        server.cheat = ApiCheat.SAME_NONCES
        statuses = [(await stage.chat(CANARY)).status_code for _ in range(12)]
        assert statuses.count(200) == 10
        assert statuses[10:] == [502, 502]
        assert len(set(server.nonces_used)) == len(server.nonces_used) == 10


async def test_many_requests_at_once_each_have_a_nonce_of_their_own(socket_dir: Path) -> None:
    async with ChutesServer(instances=1) as server, opened(socket_dir, tree(server)) as stage:
        answers = await asyncio.gather(*(stage.chat(f"{CANARY} {number}") for number in range(25)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(set(server.nonces_used)) == 25
        assert server.lists == 1 + 3  # one for the verification, three batches of ten


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("cheat", [Cheat.SWAPPED_KEY, Cheat.PLAINTEXT, Cheat.REFLECTED])
async def test_an_answer_that_is_not_the_instances_is_not_passed_on(cheat: Cheat, stream: bool, socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        server.answers = cheat
        response = await stage.chat(CANARY, stream=stream)
        assert response.status_code == 502
        assert error_of(response)["code"] == "upstream_unsealed"
        assert ANSWER not in response.text


@pytest.mark.parametrize("cheat", [Cheat.DUPLICATED, Cheat.TRUNCATED])
async def test_events_that_the_cipher_can_tell_break_the_stream(cheat: Cheat, socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        server.answers = cheat
        response = await stage.chat(CANARY, stream=True)
        assert response.status_code == 502 or b"data: [DONE]" not in response.content


async def test_a_nonce_that_is_not_taken_any_more_leads_to_a_new_verification(socket_dir: Path) -> None:
    async with ChutesServer(instances=1) as server, opened(socket_dir, tree(server)) as stage:
        assert await told(stage) == ANSWER
        before = stage.gateway.keepers["chutes"].state().session_id
        server.instances[0].recipient._nonces.clear()
        assert await told(stage) == ANSWER
        assert stage.gateway.keepers["chutes"].state().session_id != before
        assert len(server.nonces_used) == 3 and len(server.asked) == 2


async def test_nvidias_service_is_asked_about_each_instances_gpus_with_what_they_signed() -> None:
    hierarchy, server = nvidia.create(SystemClock().now()), ChutesServer()
    for instance in server.instances:
        instance.devices = (hierarchy.device(),)
    asked: list[dict[str, Any]] = []

    class Nras:
        async def get(self, url: str) -> Fetched:
            raise NotImplementedError

        async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
            asked.append(json.loads(body))
            return Fetched(200, {}, b"[token]")

    policy = msgspec.structs.replace(server.policy, nvidia=hierarchy.policy(accept=("nras",)))
    async with server:
        provider = ChutesProvider(UpstreamSettings(url=server.url, model=CHUTE, ca=server.ca), None, Tools(asking, Nras(), "https://nras", policy))
        gathered = await provider.gather(Hex32("a5" * 32))
        assert gathered.connection is not None
        gathered.connection.abort("close", "done")
    roles = [nras_role(instance.instance_id) for instance in server.instances]
    assert set(gathered.evidence.documents) == {"instances", "report", *roles}
    statements = [hashlib.sha256(("a5" * 32 + instance.key).encode()).hexdigest() for instance in server.instances]
    assert [each["nonce"] for each in asked] == statements
    assert [each["arch"] for each in asked] == ["HOPPER"] * 2


# Nonces alone


def batches(*found: tuple[Sequence[str], float]) -> Any:
    left = list(found)

    async def fetch() -> tuple[Sequence[str], float]:
        return left.pop(0)

    return fetch


async def test_a_nonce_whose_time_is_over_is_not_given_out() -> None:
    pool = NoncePool()
    fetch = batches((("a", "b"), 60.0), (("c",), 0.0), (("d",), 60.0))
    assert {await pool.take("one", fetch), await pool.take("one", fetch)} == {"a", "b"}
    with pytest.raises(UpstreamError):
        await pool.take("one", fetch)
    assert await pool.take("one", fetch) == "d"


async def test_nonces_of_one_instance_are_not_anothers() -> None:
    pool = NoncePool()
    fetch = batches((("a", "b"), 60.0), (("c",), 60.0))
    await pool.take("one", fetch)
    assert await pool.take("two", fetch) == "c"


def test_a_cipher_has_a_nonce_for_one_request() -> None:
    once = _Once("a")
    assert once() == "a"
    with pytest.raises(SealError):
        once()


@pytest.mark.parametrize("model", [None, "zai-org/GLM-5-TEE", "../../evidence"])
def test_a_chute_is_named_by_its_id(model: str | None) -> None:
    named = f'model = "{model}"\n' if model else ""
    text = f'[policies.p]\nlevel = "tee"\n[upstreams.c]\nadapter = "chutes"\npolicy = "p"\n{named}'
    with pytest.raises(ConfigError) as problem:
        parse(text.encode())
    assert problem.value.cause == "upstreams.c.model is not what chutes needs"
    assert parse(text.replace(named, "").encode() + f'model = "{CHUTE}"'.encode()).upstreams["c"].url == "https://api.chutes.ai"


def test_a_changed_key_is_a_refusal_of_the_channel() -> None:
    assert issubclass(ChannelRefused, UpstreamError)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_nonce_or_an_instance_that_is_gone_is_mended_by_asking_anew(status: int, socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        server.refusals = [status]
        assert (await stage.chat(CANARY)).status_code == 200
        assert (len(server.nonces_used), len(set(server.nonces_used)), len(server.asked)) == (2, 2, 1)


@pytest.mark.parametrize(
    ("status", "code", "attempts"), [(402, "upstream_credentials", 1), (429, "upstream_rate_limited", 3), (503, "upstream_error", 3)]
)
async def test_other_refusals_of_the_api_are_told(status: int, code: str, attempts: int, socket_dir: Path) -> None:
    async with ChutesServer() as server, opened(socket_dir, tree(server)) as stage:
        server.refusals = [status] * 3
        response = await stage.chat(CANARY)
        assert error_of(response)["code"] == code
        assert (len(set(server.nonces_used)), server.asked) == (attempts, []), "each attempt with a nonce of its own"
