"""Tinfoil's enclaves through a whole gateway: real sockets, real TLS, the real `openai` client; and every way of lying to it."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from ollm.attest.evidence import MachineCollateral, MachineEvidence
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.fetch import HttpFetch
from ollm.ports import Fetch, Fetched
from ollm.testing.mint import nvidia
from ollm.testing.mint import tinfoil as mint
from ollm.testing.mint.provenance import DIGEST, Sigstore, built, extensions, packed, statement, witness_of
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.providers.tinfoil import Lie, TinfoilServer
from ollm.testing.sealing.cheats import Cheat
from ollm.upstream.asking import Heads, Told, asking
from ollm.upstream.provider import Tools, Transcript
from ollm.upstream.session import Examined, Unverified, examine
from ollm.upstream.tinfoil import ATTESTATION, TinfoilProvider
from ollm.values.hexes import Hex32, Sha256
from ollm.values.ledger import Status
from ollm.values.policy import AttestationPolicy, NvidiaPolicy, ServicePolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy
from tests.stage import MODEL, Stage, configuration, error_of, opened
from tests.wiretap import tapped

FORMS = ("v3", "june", "v2")
NONCE = Hex32("5a" * 32)
CANARY = "the canary sings of a blue lagoon"
MESSAGES: Any = [{"role": "user", "content": CANARY}]


def tree(server: Any, **upstream: Any) -> dict[str, Any]:
    models = {MODEL: {"upstreams": ["enclave"], "upstream_model": "llama3-3-70b"}}
    return configuration({"enclave": server}, upstream={"adapter": "tinfoil", **upstream}, models=models)


def client_of(stage: Stage) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0)


def events_of(receipt: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {event["type"]: event for event in receipt["event_log"]}


# Chats


@pytest.mark.parametrize("form", FORMS)
async def test_whole_and_streamed_chats_with_the_openai_client(form: Any, socket_dir: Path) -> None:
    async with TinfoilServer(form=form) as server, tapped(server) as tap, opened(socket_dir, tree(tap)) as stage, client_of(stage) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert answer.choices[0].message.content == ANSWER
        chunks = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices]) == ANSWER
        assert [(asked.path, json.loads(asked.body)["model"]) for asked in server.asked] == [("/v1/chat/completions", "llama3-3-70b")] * 2
        assert all(CANARY.encode() in asked.body and CANARY.encode() not in asked.wire for asked in server.asked)
        assert all(CANARY.encode() not in bytes(stream) for stream in tap.sent)
        assert server.reports == 1


async def test_receipt_and_session_say_what_was_verified(socket_dir: Path) -> None:
    async with TinfoilServer() as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat(CANARY)
        log = events_of(await stage.receipt(response))
        assert log["upstream.verified"]["result"] == "verified"
        state = stage.gateway.keepers["enclave"].state()
        assert state.appraisal is not None
        assert state.appraisal.claims is not None
        assert state.appraisal.claims.extra["terminates_at"].startswith("router")
        held = stage.gateway.keepers["enclave"].held()
        assert held is not None
        assert held.bound is not None
        assert (held.bound.spkis, held.bound.sealing[0].public_key) == ((server.keys.spki,), server.keys.hpke)


async def test_bodies_can_be_left_to_the_attested_channel(socket_dir: Path) -> None:
    async with TinfoilServer() as server, opened(socket_dir, tree(server, seal="tls")) as stage:
        assert (await stage.chat(CANARY)).json()["choices"][0]["message"]["content"] == ANSWER
        assert [(asked.wire == asked.body, "ehbp-encapsulated-key" in asked.headers) for asked in server.asked] == [(True, False)]


async def test_an_overloaded_enclave_limits_the_rate_and_says_for_how_long(socket_dir: Path) -> None:
    async with TinfoilServer() as server, opened(socket_dir, tree(server)) as stage:
        server.overloaded = True
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"], response.headers["retry-after"]) == (429, "upstream_rate_limited", "7")


async def test_nothing_of_the_client_goes_on(socket_dir: Path) -> None:
    async with TinfoilServer() as server, opened(socket_dir, tree(server)) as stage:
        await stage.http.post("/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES}, headers={"x-tinfoil-enclave-url": "https://a"})
        assert set(server.asked[0].headers) == {"host", "user-agent", "accept", "content-type", "content-length", "ehbp-encapsulated-key"}


# Lies


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (Lie.OTHER_NONCE, "tinfoil.nonce"),
        (Lie.REPLAYED, "tinfoil.sections"),
        (Lie.BOOT, "tinfoil.freshness"),
        (Lie.SWAPPED_KEY, "binding.statement"),
        (Lie.OTHER_MACHINE, "channel.spki"),
        (Lie.OTHER_SOFTWARE, "measurement.reference_values"),
        (Lie.FORGED, "quote.signature"),
        (Lie.UNREADABLE, "tinfoil.format"),
    ],
    ids=lambda value: value.name if isinstance(value, Lie) else value,
)
async def test_no_prompt_goes_to_an_enclave_that_lies(lie: Lie, check: str, socket_dir: Path) -> None:
    async with TinfoilServer(lie=lie) as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat(CANARY)
        assert response.status_code == 503
        assert (error_of(response)["code"], response.headers["x-should-retry"]) == ("upstream_verification_failed", "false")
        assert check in error_of(response)["message"]
        verified = events_of(await stage.receipt(response))["upstream.verified"]
        assert verified["result"] == "failed"
        assert check in json.dumps(verified)
        assert (await stage.entry(response)).status is Status.REFUSED
        assert server.asked == []


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (Lie.OTHER_NONCE, "tinfoil.nonce"),
        (Lie.REPLAYED, "binding.statement"),
        (Lie.SWAPPED_KEY, "binding.statement"),
        (Lie.OTHER_MACHINE, "channel.spki"),
        (Lie.FORGED, "quote.signature"),
        (Lie.UNREADABLE, "tinfoil.format"),
    ],
    ids=lambda value: value.name if isinstance(value, Lie) else value,
)
async def test_nor_to_one_that_lies_in_the_form_of_june(lie: Lie, check: str) -> None:
    async with TinfoilServer(form="june", lie=lie) as server:
        with pytest.raises(Unverified) as refusal:
            await examined(server)
        assert refusal.value.appraisal.failure is not None
        assert refusal.value.appraisal.failure.name == check


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("lie", "check"),
    [(Lie.NONE, None), (Lie.OTHER_SOFTWARE, "snp.reference_values"), (Lie.FORGED, "snp.signature")],
    ids=["honest", "software", "forged"],
)
async def test_enclaves_on_sev_snp(form: Any, lie: Lie, check: str | None) -> None:
    async with TinfoilServer(form=form, platform="sev-snp", lie=lie) as server:
        if check is None:
            assert (await examined(server)).appraisal.accepted
            return
        with pytest.raises(Unverified) as refusal:
            await examined(server)
        assert check in refusal.value.reason


async def test_a_key_that_is_not_held_opens_nothing_and_is_verified_anew(socket_dir: Path) -> None:
    async with TinfoilServer(lie=Lie.KEY_NOT_HELD) as server, opened(socket_dir, tree(server)) as stage:
        assert (await stage.chat(CANARY)).status_code >= 500
        server.lie = Lie.NONE
        assert all(CANARY.encode() not in asked.wire for asked in server.asked)
        held = await stage.gateway.keepers["enclave"].session(5)
        assert held.bound is not None


async def test_a_key_that_changed_is_sealed_to_after_it_was_verified(socket_dir: Path) -> None:
    async with TinfoilServer() as server, opened(socket_dir, tree(server)) as stage:
        assert (await stage.chat(CANARY)).status_code == 200
        server.rotate()
        answers = [(await stage.chat(CANARY)).status_code for _ in range(3)]
        assert answers[-1] == 200
        assert server.reports >= 2


@pytest.mark.parametrize("cheat", [Cheat.SWAPPED_KEY, Cheat.PLAINTEXT, Cheat.REFLECTED])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_answer_that_is_not_sealed_to_us_is_not_passed_on(cheat: Cheat, streamed: bool, socket_dir: Path) -> None:
    async with TinfoilServer(cheat=cheat) as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat(CANARY, stream=streamed)
        assert response.status_code != 200 or "error" in response.text
        assert ANSWER.split()[-1] not in response.text
        assert (await stage.entry(response)).status is not Status.COMPLETED


@pytest.mark.parametrize("cheat", [Cheat.DROPPED, Cheat.REORDERED, Cheat.DUPLICATED, Cheat.TRUNCATED])
async def test_frames_that_somebody_moved_end_the_answer(cheat: Cheat, socket_dir: Path) -> None:
    async with TinfoilServer(cheat=cheat) as server, opened(socket_dir, tree(server)) as stage:
        response = await stage.chat(CANARY, stream=True)
        assert ANSWER.split()[-1] not in response.text
        assert "[DONE]" not in response.text
        assert (await stage.entry(response)).status is not Status.COMPLETED


# Evidence


class Mirror:
    """`Fetch` of what mirrors of GitHub answer, by URL; what isn't there is a 404. `asked` keeps what was asked for."""

    def __init__(self, answers: Mapping[str, bytes] = {}) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.posted: list[bytes] = []

    async def get(self, url: str) -> Fetched:
        self.asked.append(url)
        found = self.answers.get(url)
        return Fetched(404, {}, b"") if found is None else Fetched(200, {}, found)

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        self.asked.append(url)
        self.posted.append(body)
        return Fetched(200, {}, self.answers[url])


class Endorser:
    """Collateral of the server's machine, without a way to it."""

    def __init__(self, server: TinfoilServer) -> None:
        self._server = server

    async def collateral(self, evidence: MachineEvidence) -> MachineCollateral:
        return MachineCollateral(cpu=self._server.guest.collateral())


def provider(server: TinfoilServer, policy: AttestationPolicy | None = None, fetch: Fetch | None = None, **settings: Any) -> TinfoilProvider:
    tools = Tools(asking, fetch or Mirror(), "https://nras.example", policy)
    return TinfoilProvider(UpstreamSettings(url=server.url, policy="p", adapter="tinfoil", **settings), None, tools)


async def examined(server: TinfoilServer, policy: AttestationPolicy | None = None, fetch: Fetch | None = None, root: bytes | None = None) -> Examined:
    accepted = policy or server.policy
    asked = provider(server, accepted, fetch)
    found = await examine(NONCE, accepted, asked, Endorser(server), clock=SystemClock(), trust_root=root, seconds=5)
    assert found.gathered.connection is not None
    found.gathered.connection.abort("close", "done")
    return found


async def test_the_document_comes_on_the_connection_that_prompts_will_take() -> None:
    async with TinfoilServer() as server:
        found = await provider(server).gather(NONCE)
        assert found.connection is not None
        assert found.evidence.peer_spki_sha256 == found.connection.peer_spki == server.keys.spki
        assert (set(found.evidence.documents), found.statements, found.origin.text) == ({"report"}, (), server.url)
        assert not found.connection.closed
        found.connection.abort("close", "done")


async def test_it_vouches_for_no_answer() -> None:
    async with TinfoilServer() as server:
        made = provider(server)
        found = await examined(server)
        transcript = Transcript(chat_id="x", request_hash=Sha256("sha256:" + "00" * 32), response_hash=Sha256("sha256:" + "00" * 32))
        assert found.gathered.connection is not None
        assert await made.vouch(found.gathered.connection, found.bound, transcript) is None
        assert await provider(server, seal="tls").cipher(found.bound) is None


# What vouches for software


def released(policy: AttestationPolicy, **provenance: Any) -> AttestationPolicy:
    """`policy` without measurements of its own: those of releases count."""
    builds = tuple(BuildIdentity(repository=name, workflow=".github/workflows/release.yml") for name in (mint.REPOSITORY, mint.PLATFORMS))
    table = ProvenancePolicy(**{"builds": builds, **provenance})
    return msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, reference_values=()), provenance=table)


WITNESS = BuildIdentity(repository="tinfoilsh/freshness-witness", workflow=".github/workflows/freshness.yml", ref="refs/heads/main")


class Releases:
    """What Tinfoil's repositories attest of a server's machine, signed now."""

    def __init__(self, server: TinfoilServer) -> None:
        now = SystemClock().now() - 60
        self.sigstore = Sigstore(now)
        code, hardware = built(repository=mint.REPOSITORY), built(repository=mint.PLATFORMS)
        speaker = built(repository=WITNESS.repository, workflow=WITNESS.workflow, ref=WITNESS.ref, trigger="schedule")
        assert isinstance(server.guest, mint.TdxGuest)
        self.code = self.sigstore.bundle(
            statement("https://tinfoil.sh/predicate/snp-tdx-multiplatform/v1", mint.build_predicate(server.guest)), now, claims=extensions(code)
        )
        self.hardware = self.sigstore.bundle(
            statement("https://tinfoil.sh/predicate/hardware-measurements/v1", mint.platforms_predicate(server.guest)),
            now,
            claims=extensions(hardware),
        )
        self.witnesses = [
            self.sigstore.bundle(statement("https://tinfoil.sh/predicate/freshness-witness/v1", witness_of(build)), now, claims=extensions(speaker))
            for build in (code, hardware)
        ]

    @property
    def root(self) -> bytes:
        return packed(self.sigstore.trust_root())

    def mirrors(self) -> dict[str, bytes]:
        answers = {}
        for repository, bundle in ((mint.REPOSITORY, self.code), (mint.PLATFORMS, self.hardware)):
            answers[f"https://api-github-proxy.tinfoil.sh/repos/{repository}/releases/latest"] = packed({"tag_name": "v1.2.0", "body": "notes"})
            answers[f"https://github-proxy.tinfoil.sh/{repository}/releases/download/v1.2.0/tinfoil.hash"] = DIGEST.encode() + b"\n"
            url = f"https://gh-attestation-proxy.tinfoil.sh/repos/{repository}/attestations/sha256:{DIGEST}"
            answers[url] = packed({"attestations": [{"bundle": bundle, "repository_id": 1}]})
        url = f"https://gh-attestation-proxy.tinfoil.sh/repos/{WITNESS.repository}/attestations/sha256:{DIGEST}"
        answers[url] = packed({"attestations": [{"bundle": bundle} for bundle in self.witnesses]})
        return answers

    def carried(self) -> list[dict[str, Any]]:
        entries = [mint.bundle_entry("code", mint.REPOSITORY, self.code), mint.bundle_entry("platform", mint.PLATFORMS, self.hardware)]
        for at, bundle in enumerate(self.witnesses):
            entries.append({**mint.bundle_entry("freshness", WITNESS.repository, bundle), "id": f"freshness-{at}"})
        return [*entries, mint.bundle_entry("code", "stranger/router", {"mediaType": "none"})]


@pytest.mark.parametrize("witness", [None, WITNESS], ids=["", "witnessed"])
async def test_documents_of_v3_carry_what_vouches_for_them(witness: BuildIdentity | None) -> None:
    async with TinfoilServer() as server:
        releases, mirror = Releases(server), Mirror()
        server.collateral = releases.carried()
        found = await examined(server, released(server.policy, witness=witness), mirror, releases.root)
        assert found.appraisal.accepted
        assert len(found.gathered.statements) == (2 if witness is None else 4)
        assert mirror.asked == []


@pytest.mark.parametrize("form", ["june", "v2"])
@pytest.mark.parametrize("witness", [None, WITNESS], ids=["", "witnessed"])
async def test_for_the_older_forms_it_is_fetched(form: Any, witness: BuildIdentity | None) -> None:
    async with TinfoilServer(form=form) as server:
        releases = Releases(server)
        found = await examined(server, released(server.policy, witness=witness), Mirror(releases.mirrors()), releases.root)
        assert found.appraisal.accepted


async def test_software_of_no_release_is_refused() -> None:
    async with TinfoilServer(lie=Lie.OTHER_SOFTWARE) as server:
        releases = Releases(server)
        server.collateral = releases.carried()
        with pytest.raises(Unverified, match="evidence refused") as refusal:
            await examined(server, released(server.policy), None, releases.root)
        assert "measurement.reference_values" in refusal.value.reason


async def test_a_release_that_nobody_witnessed_lately_is_refused() -> None:
    async with TinfoilServer() as server:
        releases = Releases(server)
        server.collateral = releases.carried()[:2]
        with pytest.raises(Unverified) as refusal:
            await examined(server, released(server.policy, witness=WITNESS), None, releases.root)
        assert "provenance.witness" in refusal.value.reason


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("releases/latest", b"{}"),
        ("releases/latest", b'{"tag_name":"../v1"}'),
        ("tinfoil.hash", b"<html>"),
        ("attestations", b"[]"),
        ("attestations", None),
    ],
    ids=["no tag", "a path for a tag", "no digest", "no attestations", "missing"],
)
async def test_a_mirror_that_answers_something_else_is_as_good_as_none(url: str, answer: bytes | None) -> None:
    async with TinfoilServer(form="june") as server:
        answers = {each: body if url not in each else answer for each, body in Releases(server).mirrors().items()}
        mirror = Mirror({each: body for each, body in answers.items() if body is not None})
        with pytest.raises(UpstreamError, match=r"mirror of GitHub|a release with"):
            await provider(server, released(server.policy), mirror).gather(NONCE)


async def test_a_repeated_verification_has_no_connection_to_close() -> None:
    async with TinfoilServer(form="june") as server:
        told = Told(server._document(NONCE, Lie.NONE), "application/json", {})

        class Replayed:
            peer_spki = None

            async def get(self, target: str, *, limit: int, credential: bool = False) -> Told:
                return told

            def keep(self) -> None:
                return None

        @contextlib.asynccontextmanager
        async def replaying(heads: Heads, tls: object) -> AsyncIterator[Any]:
            yield Replayed()

        made = TinfoilProvider(UpstreamSettings(url=server.url, policy="p"), None, Tools(replaying, Mirror(), "", released(server.policy)))
        with pytest.raises(UpstreamError, match="answered 404"):
            await made.gather(NONCE)


async def test_a_policy_of_very_many_repositories_is_not_asked_about() -> None:
    async with TinfoilServer(form="june") as server:
        builds = tuple(BuildIdentity(repository=f"a/{at}", workflow="x") for at in range(9))
        mirror = Mirror()
        with pytest.raises(UpstreamError, match="9 repositories"):
            await provider(server, released(server.policy, builds=builds), mirror).gather(NONCE)
        assert mirror.asked == []


async def test_a_document_that_cant_be_read_is_left_to_its_reader() -> None:
    async with TinfoilServer(lie=Lie.UNREADABLE) as server:
        found = await provider(server, released(server.policy)).gather(NONCE)
        assert found.connection is None
        with pytest.raises(Unverified) as refusal:
            await examine(
                NONCE, server.policy, provider(server, released(server.policy)), Endorser(server), clock=SystemClock(), trust_root=None, seconds=5
            )
        assert "tinfoil.format" in refusal.value.reason


async def test_a_machine_that_speaks_v2_is_asked_for_its_certificate_where_v2_is_taken() -> None:
    async with TinfoilServer(form="v2") as server:
        found = await examined(server)
        assert found.appraisal.claims is not None
        assert found.appraisal.claims.extra["certificate"] == "sealing key: named; report: not named"
        strict = msgspec.structs.replace(server.policy, service=ServicePolicy())
        gathered = await provider(server, strict).gather(NONCE)
        assert gathered.connection is not None
        gathered.connection.abort("close", "done")
        assert set(gathered.evidence.documents) == {"report"}


async def test_it_is_no_failure_that_the_certificate_is_not_served() -> None:
    async with TinfoilServer(lie=Lie.BOOT) as server:
        lax = msgspec.structs.replace(server.policy, service=ServicePolicy(freshness="server"))
        found = await examined(server, lax)
        assert found.appraisal.claims is not None
        assert "certificate" not in found.appraisal.claims.extra


# Devices


async def test_nvidia_is_asked_where_the_policy_wants_its_word_alone() -> None:
    gpu = nvidia.create(SystemClock().now()).device()
    table = NvidiaPolicy(simulated_root_sha256="0" * 64, simulated_rim_root_sha256="0" * 64, accept=("nras",), bound="hash")
    async with TinfoilServer(gpus=(gpu.evidence(bytes.fromhex(NONCE)),)) as server:
        mirror = Mirror({"https://nras.example/v3/attest/gpu": b"[]"})
        found = await provider(server, msgspec.structs.replace(server.policy, nvidia=table), mirror).gather(NONCE)
        assert found.connection is not None
        found.connection.abort("close", "done")
        assert found.evidence.documents["nras"] == b"[]"
        asked = json.loads(mirror.posted[0])
        assert (asked["nonce"], asked["arch"], len(asked["evidence_list"])) == (NONCE, "HOPPER", 1)


async def test_without_a_gpu_nvidia_is_not_asked() -> None:
    table = NvidiaPolicy(simulated_root_sha256="0" * 64, simulated_rim_root_sha256="0" * 64, accept=("nras",), bound="hash")
    async with TinfoilServer() as server:
        mirror = Mirror()
        found = await provider(server, msgspec.structs.replace(server.policy, nvidia=table), mirror).gather(NONCE)
        assert found.connection is not None
        found.connection.abort("close", "done")
        assert (set(found.evidence.documents), mirror.asked) == ({"report"}, [])


async def test_it_is_asked_with_our_nonce() -> None:
    async with TinfoilServer() as server:
        fetch = HttpFetch()
        try:
            with pytest.raises(UpstreamError):  # nobody vouches for its certificate: evidence does
                await fetch.get(server.url + ATTESTATION)
        finally:
            await fetch.close()
