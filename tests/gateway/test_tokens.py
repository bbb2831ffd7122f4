"""Applications that show a token of their issuer in place of a key: what lets them in, what they may do, and how they get their receipts."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openai
import pytest

from ollm.config.issuers import IssuerSettings
from ollm.gateway import running
from ollm.gateway.tokens import Issuer, Tokens
from ollm.net.clock import SystemClock
from ollm.net.key_set import UNKNOWN_SECONDS, IssuerKeys
from ollm.values.identity import DEFAULT_ORG, DEFAULT_PROJECT, Role
from ollm.values.level import Level
from ollm.values.standing import Place
from ollm.values.terms import Limit, Terms
from tests.issuing import AUDIENCE, ISSUER, Authority, jwk, key_set
from tests.scripted_enclave import scripted_enclave, stalling
from tests.stage import CHAT, Stage, asking, chat_body, configuration, error_of, events, opened, staged, stem

PIECE = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
KEY = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
NOW = 1_800_000_000


def issuer_table(**changed: Any) -> dict[str, Any]:
    usual = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks": "file:issuer.json",
        "algorithms": ["ES256"],
        "project": DEFAULT_PROJECT,
        "require": "simulated",
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def stage(socket_dir: Path, authority: Authority) -> AsyncIterator[Stage]:
    (socket_dir / "issuer.json").write_bytes(authority.jwks)
    async with staged(socket_dir, issuers={"corp": issuer_table()}) as play:
        await play.gateway.keepers["enclave"].session(10)
        yield play


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **more}


def token_of(authority: Authority, **changed: Any) -> str:
    return authority.token(SystemClock().now(), **changed)


async def ask(stage: Stage, headers: dict[str, str], path: str = CHAT, **members: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=stage.url, timeout=10) as http:
        return await http.post(path, content=chat_body(**members), headers=headers)


async def fetch(stage: Stage, path: str, headers: dict[str, str]) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=stage.url, timeout=10) as http:
        return await http.get(path, headers=headers)


# On the way of a request


async def test_openais_client_with_a_token(stage: Stage, authority: Authority) -> None:
    async with openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=token_of(authority)) as client:
        answer = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello there"}])
        assert answer.choices[0].message.content
        assert [model.id async for model in client.models.list()]
    entry = (await stage.gateway.ledger.recent(1))[0]  # type: ignore[attr-defined]  # SqlLedger's own
    assert entry.project == DEFAULT_PROJECT
    assert entry.key_id.startswith("j")
    assert len(entry.key_id) == 16
    assert "someone" not in entry.key_id


async def test_a_subject_has_one_pseudonym_and_others_have_others(stage: Stage, authority: Authority) -> None:
    answers = [await ask(stage, bearer(token_of(authority, sub=sub))) for sub in ("a", "a", "b")]
    ids = [(await stage.entry(answer)).key_id for answer in answers]
    assert ids[0] == ids[1] != ids[2]


async def test_a_receipt_under_a_key_that_the_client_brings(stage: Stage, authority: Authority) -> None:
    answer = await ask(stage, bearer(token_of(authority), **{"x-receipt-key": KEY}))
    assert "x-receipt-key" not in answer.headers
    path = f"/v1/aci/receipts/{answer.headers['x-receipt-id']}"
    receipt = await fetch(stage, path, bearer(token_of(authority, iat=SystemClock().now() - 1), **{"x-receipt-key": KEY}))
    assert receipt.json()["receipt_id"] == answer.headers["x-receipt-id"]
    other = base64.urlsafe_b64encode(b"1" * 32).rstrip(b"=").decode()
    wrong = await fetch(stage, path, bearer(token_of(authority), **{"x-receipt-key": other}))
    assert (wrong.status_code, error_of(wrong)["code"]) == (404, "not_found")
    without = await fetch(stage, path, bearer(token_of(authority)))
    assert (without.status_code, error_of(without)["code"]) == (400, "receipt_key_required")
    stranger = await fetch(stage, path, bearer(token_of(authority, sub="other"), **{"x-receipt-key": KEY}))
    assert stranger.status_code == 404


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_receipt_under_a_key_that_is_told_once(stage: Stage, authority: Authority, streamed: bool) -> None:
    answer = await ask(stage, bearer(token_of(authority)), stream=streamed)
    key = answer.headers["x-receipt-key"]
    again = await ask(stage, bearer(token_of(authority)))
    assert again.headers["x-receipt-key"] != key
    receipt = await fetch(stage, f"/v1/aci/receipts/req_{stem(answer)}", bearer(token_of(authority), **{"x-receipt-key": key}))
    assert receipt.status_code == 200
    assert (not streamed) or events(answer.content)


async def test_a_refusal_has_its_receipt_too(stage: Stage, authority: Authority) -> None:
    answer = await ask(stage, bearer(token_of(authority)), provider={"aci_verified": True})
    assert answer.status_code == 403
    assert answer.headers["x-receipt-key"]


async def test_a_malformed_receipt_key_is_refused(stage: Stage, authority: Authority) -> None:
    answer = await ask(stage, bearer(token_of(authority), **{"x-receipt-key": "short"}))
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_receipt_key")


async def test_every_refusal_looks_the_same_and_is_logged_by_its_check(stage: Stage, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    stranger = Authority()
    now = SystemClock().now()
    secret = "subject-that-nobody-may-read"
    shown = {
        "exp": token_of(authority, sub=secret, iat=now - 900, exp=now - 600),
        "audience": token_of(authority, sub=secret, aud="other"),
        "issuer": token_of(authority, sub=secret, iss="https://evil.test/"),
        "signature": token_of(stranger, sub=secret),
        "key": token_of(authority, sub=secret, header={"kid": "../../etc/passwd"}),
        "algorithm": Authority("ES384").token(now, sub=secret),
        "lifetime": token_of(authority, sub=secret, exp=now + 86400),
        "form": "eyJh.b.c",
    }
    unknown = await ask(stage, bearer("sk-ollm-" + "a" * 16 + "-" + "A" * 43))
    for check, token in shown.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            answer = await ask(stage, bearer(token))
        assert (answer.status_code, answer.content) == (401, unknown.content)
        logged = [record for record in caplog.records if record.name == "ollm.gateway"]
        assert [getattr(record, "check", None) for record in logged] == [check]
        assert secret not in caplog.text
        assert token.split(".")[1] not in str([record.__dict__ for record in caplog.records])
    assert stage.enclave.counters.prompt_requests == 0


async def test_a_token_stands_in_authorization_alone(stage: Stage, authority: Authority) -> None:
    token = token_of(authority)
    for headers in ({"x-api-key": token}, {"api-key": token}, bearer(token, **{"x-api-key": stage.api_key}), {"authorization": token}):
        assert (await ask(stage, headers)).status_code == 401
    assert (await ask(stage, bearer(stage.api_key))).status_code == 200, "keys go on working beside tokens"


async def test_the_callers_own_view(stage: Stage, authority: Authority) -> None:
    answer = await fetch(stage, "/v1/key", bearer(token_of(authority)))
    told = answer.json()
    assert (told["role"], told["project_id"], told["name"], told["expires_at"]) == ("member", DEFAULT_PROJECT, None, None)


async def test_without_issuers_a_token_is_no_key(socket_dir: Path, authority: Authority) -> None:
    async with staged(socket_dir) as stage:
        assert (await ask(stage, bearer(token_of(authority)))).status_code == 401


async def test_terms_of_an_issuer_hold_for_each_subject(socket_dir: Path, authority: Authority) -> None:
    (socket_dir / "issuer.json").write_bytes(authority.jwks)
    terms = {"endpoints": ["chat.completions"], "limits": [{"requests_per_minute": 1}]}
    async with staged(socket_dir, issuers={"corp": issuer_table(terms=terms)}) as stage:
        statuses = [(await ask(stage, bearer(token_of(authority, sub=sub)))).status_code for sub in ("a", "a", "b")]
        assert statuses == [200, 429, 200]
        assert (await ask(stage, bearer(token_of(authority, sub="c")), "/v1/responses", input="Hello")).status_code == 403


async def test_a_new_key_of_the_issuer_is_found_by_its_name(stage: Stage, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await ask(stage, bearer(token_of(authority)))).status_code == 200
    new = Authority(key_id="second")
    stage.loaded.path("issuer.json").write_bytes(key_set(jwk(authority.key, "first"), jwk(new.key, "second")))
    assert (await ask(stage, bearer(token_of(new)))).status_code == 401, "looked for a moment ago"
    monkeypatch.setattr("ollm.net.key_set.UNKNOWN_SECONDS", 0.0)
    assert (await ask(stage, bearer(token_of(new)))).status_code == 200
    assert (await ask(stage, bearer(token_of(authority)))).status_code == 200
    assert UNKNOWN_SECONDS == 60


async def test_a_stream_ends_when_its_project_is_archived(socket_dir: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SWEEP_SECONDS", 0.03)
    (socket_dir / "issuer.json").write_bytes(authority.jwks)
    async with scripted_enclave(stalling(PIECE)) as enclave:
        tree = {**configuration({"enclave": enclave}), "issuers": {"corp": issuer_table()}}
        async with opened(socket_dir, tree) as stage:
            stage.api_key = token_of(authority)
            async with asking(stage, chat_body(stream=True)) as client:
                await client.read_until(b'"one"')
                await asyncio.sleep(0.1)
                assert len(stage.gateway.running) == 1, "it stands while its project does"
                monkeypatch.setattr(stage.gateway.keys, "place", lambda _: None)
                assert b"key_revoked" in await client.read_until(b"\r\n0\r\n\r\n")


# By themselves


class Projects:
    """Projects that a test names."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def place(self, project_id: str) -> Place | None:
        return Place(project_id, DEFAULT_ORG, {DEFAULT_ORG: Terms(models=("a", "b")), project_id: Terms()}) if project_id in self.known else None


class Still:
    def now(self) -> int:
        return NOW

    def now_ms(self) -> int:
        return NOW * 1000

    def monotonic(self) -> float:
        return 0.0


def tokens(authority: Authority, *known: str, **issuers: dict[str, Any]) -> Tokens:
    async def read() -> bytes:
        return authority.jwks

    clock = Still()
    found = {
        name: Issuer(name, msgspec.convert(issuer_table(**changed), IssuerSettings), IssuerKeys(read, clock, stale=60.0))
        for name, changed in issuers.items()
    }
    return Tokens(found, Projects(*known), clock, b"p" * 32)


def shown(token: str) -> dict[str, Any]:
    return {"headers": [(b"authorization", b"Bearer " + token.encode())]}


@pytest.mark.parametrize(
    ("groups", "project"),
    [
        ("a", "proj_a"),
        (["x", "b"], "proj_b"),
        (["b", "more b"], "proj_b"),
        (["a", "b"], None),
        (["x"], None),
        ([], None),
        (None, None),
        ([["a"]], None),
    ],
    ids=str,
)
async def test_a_claim_says_which_project(authority: Authority, groups: object, project: str | None) -> None:
    changed = {"project": None, "project_claim": "groups", "projects": {"a": "proj_a", "b": "proj_b", "more b": "proj_b"}}
    found = await tokens(authority, "proj_a", "proj_b", corp=changed).identify(shown(authority.token(NOW, groups=groups)))
    assert (found.project if found else None) == project


async def test_a_project_that_is_gone_lets_nobody_in(authority: Authority) -> None:
    assert await tokens(authority, "proj_other", corp={}).identify(shown(authority.token(NOW))) is None


async def test_the_standing_is_that_of_all_above(authority: Authority) -> None:
    door = tokens(authority, DEFAULT_PROJECT, corp={"require": "zdr", "terms": {"models": ["b", "c"], "limits": [{"parallel": 3}]}})
    issued = await door.identify(shown(authority.token(NOW)))
    assert issued is not None
    standing = door.standing(issued)
    assert standing is not None
    assert (standing.role, standing.floor, standing.models) == (Role.MEMBER, Level.ZDR, frozenset({"b"}))
    assert standing.scopes[-1] == (issued.key_id, Terms(models=("b", "c"), limits=(Limit(parallel=3),)))
    assert tokens(authority, DEFAULT_PROJECT, other={}).standing(issued) is None, "its issuer isn't configured any more"


async def test_audiences_choose_between_issuers_of_one_name(authority: Authority) -> None:
    door = tokens(authority, DEFAULT_PROJECT, "proj_b", one={}, two={"audience": "two", "project": "proj_b"})
    found = [await door.identify(shown(authority.token(NOW, aud=aud))) for aud in (AUDIENCE, "two", "three", [AUDIENCE, "two"])]
    assert [each.project if each else None for each in found] == [DEFAULT_PROJECT, "proj_b", None, None]


async def test_required_claims_are_required(authority: Authority) -> None:
    door = tokens(authority, DEFAULT_PROJECT, corp={"required_claims": {"tier": "prod"}})
    assert await door.identify(shown(authority.token(NOW))) is None
    assert await door.identify(shown(authority.token(NOW, tier="prod"))) is not None


async def test_a_public_key_is_no_secret(authority: Authority) -> None:
    """The classic confusion: a token signed by HMAC under the bytes of the published key."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).rstrip(b"=").decode()
    claims = authority.token(NOW).split(".")[1]
    assert await tokens(authority, DEFAULT_PROJECT, corp={}).identify(shown(f"{head}.{claims}.AA")) is None
    assert await tokens(authority, DEFAULT_PROJECT, corp={}).identify({"headers": []}) is None
