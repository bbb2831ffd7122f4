"""Keys that are no good all get the same answer, whatever is wrong with them, and nothing but the key says who is calling."""

import asyncio
import base64
from typing import Any

import httpx2
import msgspec
import pytest

from ollm.app.build import store_of
from ollm.errors import ApiError
from ollm.gateway.authenticate import authenticate
from ollm.gateway.call import Call
from ollm.gateway.places import Places
from ollm.net.clock import SystemClock
from ollm.store.keys import parse_key
from ollm.values.identity import Role
from ollm.values.level import Level
from ollm.values.terms import Terms
from tests.stage import CHAT, Stage, chat_body, error_of, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = {
    "message": "The API key is missing or not valid. Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one.",
    "type": "invalid_request_error",
    "param": None,
    "code": "invalid_api_key",
}


def key_id_of(text: str) -> str:
    parsed = parse_key(text)
    assert parsed is not None
    return parsed[0]


async def visible_key(stage: Stage, **settings: Any) -> str:
    """A new key, once the running gateway knows it."""
    text = await stage.new_key(**settings)
    await eventually(lambda: stage.gateway.keys.lookup(key_id_of(text)) is not None)
    return text


async def revoke(stage: Stage, text: str) -> None:
    async with store_of(stage.loaded, role="admin") as store:
        await store.keys.revoke(key_id_of(text), SystemClock().now())


async def ask(stage: Stage, *headers: tuple[str, str], path: str = CHAT, body: bytes | None = None) -> httpx2.Response:
    """A chat with exactly these headers, from a client that has none of its own."""
    async with httpx2.AsyncClient(base_url=stage.url, timeout=10) as http:
        return await http.post(path, content=chat_body() if body is None else body, headers=[(name, value) for name, value in headers])


def told(response: httpx2.Response) -> tuple[int, dict[str, str], bytes]:
    """All of an answer that a caller sees, without the id that each request has."""
    headers = dict(response.headers)
    del headers["x-request-id"]
    return response.status_code, headers, response.content


async def test_every_bad_key_gets_the_same_answer(shared: Stage) -> None:
    good = shared.api_key
    secret = good.rpartition("-" + key_id_of(good) + "-")[2]
    other_secret = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    expired = await visible_key(shared, expires_at=SystemClock().now())
    revoked = await visible_key(shared)
    await revoke(shared, revoked)
    await eventually(lambda: (found := shared.gateway.keys.lookup(key_id_of(revoked))) is not None and found.row.revoked_at is not None)

    bad: dict[str, list[tuple[str, str]]] = {
        "none": [],
        "empty": [("authorization", "")],
        "no token": [("authorization", "Bearer")],
        "no scheme": [("authorization", good)],
        "another scheme": [("authorization", "Basic " + base64.b64encode(f"user:{good}".encode()).decode())],
        "two": [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")],
        "in another header": [("x-api-key", good), ("api-key", good), ("cookie", f"key={good}")],
        "foreign": [("authorization", "Bearer sk-proj-abcdefghijklmnopqrstuvwxyz")],
        "injection": [("authorization", "Bearer ' OR '1'='1")],
        "long": [("authorization", "Bearer " + "a" * 8000)],
        "unknown id": [("authorization", f"Bearer sk-ollm-{'a' * 16}-{secret}")],
        "wrong secret": [("authorization", f"Bearer sk-ollm-{key_id_of(good)}-{other_secret}")],
        "cut": [("authorization", f"Bearer {good[:-1]}")],
        "longer": [("authorization", f"Bearer {good}A")],
        "in capitals": [("authorization", f"Bearer {good.upper()}")],
        "with a comma": [("authorization", f"Bearer {good},")],
        "expired": [("authorization", f"Bearer {expired}")],
        "revoked": [("authorization", f"Bearer {revoked}")],
    }
    answers = {what: await ask(shared, *headers) for what, headers in bad.items()}
    expected = told(answers["none"])
    assert error_of(answers["none"]) == REFUSED
    assert answers["none"].status_code == 401
    assert answers["none"].headers["www-authenticate"] == "Bearer"
    assert answers["none"].headers["x-should-retry"] == "false"
    assert {what: told(answer) for what, answer in answers.items()} == dict.fromkeys(bad, expected)
    assert (await ask(shared, path=f"{CHAT}?api_key={good}")).status_code == 401


async def test_while_no_key_can_be_looked_up_nobody_is_told_that_theirs_is_bad(shared: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever key is shown gets one answer, after the same work: what the gateway doesn't know it can't say, and what it knew tells nothing."""
    good = shared.api_key
    asked: list[str] = []
    secret = good.rpartition("-" + key_id_of(good) + "-")[2]
    bad = ("sk-ollm-nonsense", f"sk-ollm-{'a' * 16}-{secret}", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "a" * 8000)
    monkeypatch.setattr(type(shared.gateway.keys), "blind", True)
    monkeypatch.setattr(shared.gateway.keys, "lookup", asked.append)  # nobody is found
    answers = [await ask(shared, ("authorization", f"Bearer {text}")) for text in (good, *bad)]
    assert (answers[0].status_code, error_of(answers[0])["code"]) == (503, "store_unavailable")
    assert answers[0].headers["retry-after"] == "5"
    assert "x-should-retry" not in answers[0].headers
    assert [told(answer) for answer in answers] == [told(answers[0])] * 5
    assert asked == [key_id_of(good), "", "a" * 16, "", ""]
    assert (await ask(shared)).status_code == 401, "a key that isn't there needs no look"
    assert (await ask(shared, ("authorization", f"Bearer {good}"), path="/v1/nothing")).status_code == 404


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
async def test_a_good_key_is_known_however_the_scheme_is_written(scheme: str, shared: Stage) -> None:
    assert (await ask(shared, ("authorization", scheme + shared.api_key))).status_code == 200


@pytest.mark.parametrize(
    "extra",
    [
        [("host", "admin.internal:80")],
        [("host", "localhost")],
        [("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("forwarded", "for=127.0.0.1")],
        [("x-original-url", "/healthz"), ("x-rewrite-url", "/healthz"), ("x-http-method-override", "GET")],
        [("x-ollm-key-id", "admin"), ("openai-organization", "acme")],
    ],
    ids=lambda extra: extra[0][0],
)
async def test_no_other_header_says_who_is_calling(extra: list[tuple[str, str]], shared: Stage) -> None:
    assert told(await ask(shared, *extra)) == told(await ask(shared))
    assert (await ask(shared, *extra, ("authorization", f"Bearer {shared.api_key}"))).status_code == 200


async def test_the_key_is_looked_at_before_the_body(shared: Stage) -> None:
    assert told(await ask(shared, body=b"{not json")) == told(await ask(shared))
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.server.port)
    try:
        writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1000000\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nconnection: close\r\n" in answer
    finally:
        writer.transport.abort()


async def test_a_revoked_key_stops_within_a_second(shared: Stage) -> None:
    text = await visible_key(shared)
    headers = ("authorization", f"Bearer {text}")
    assert (await ask(shared, headers)).status_code == 200
    await revoke(shared, text)
    await eventually(lambda: (found := shared.gateway.keys.lookup(key_id_of(text))) is not None and found.row.revoked_at is not None, seconds=1.0)
    assert told(await ask(shared, headers)) == told(await ask(shared))


class Standing:
    """A clock that stands still."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def now(self) -> int:
        return self._seconds

    def now_ms(self) -> int:
        return self._seconds * 1000

    def monotonic(self) -> float:
        return float(self._seconds)


async def unused(*_: Any) -> Any:
    raise AssertionError


def calling(text: str) -> Call:
    call = Call({"headers": [(b"authorization", f"Bearer {text}".encode())]}, unused, unused, [], 0, Places(9, 1000))
    call.roles = frozenset(Role)
    return call


async def test_a_key_stops_in_the_second_in_which_its_time_is_over(shared: Stage) -> None:
    over = SystemClock().now() + 3600
    text = await visible_key(shared, expires_at=over)
    assert (await ask(shared, ("authorization", f"Bearer {text}"))).status_code == 200
    before, after = (msgspec.structs.replace(shared.gateway, clock=Standing(moment)) for moment in (over - 1, over))
    assert authenticate(before, calling(text)).key_id == key_id_of(text)
    with pytest.raises(ApiError) as refused:
        authenticate(after, calling(text))
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")


async def test_a_caller_is_a_key_its_floor_and_a_secret_that_shows_nowhere(shared: Stage) -> None:
    text = await visible_key(shared, require=Level.ZDR)
    caller = authenticate(shared.gateway, calling(text))
    assert (caller.key_id, caller.floor) == (key_id_of(text), Level.ZDR)
    parsed = parse_key(text)
    assert parsed is not None and caller.secret.expose() == parsed[1]
    assert "secret=<sealed>" in repr(caller)
    assert text.rpartition("-")[2] not in repr(caller)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.MEMBER])
async def test_a_key_that_is_no_members_calls_no_model_and_reads(role: Role, shared: Stage) -> None:
    headers = ("authorization", f"Bearer {await visible_key(shared, role=role)}")
    refused = await ask(shared, headers)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "role_not_allowed")
    async with httpx2.AsyncClient(base_url=shared.url, timeout=10, headers=[headers]) as http:
        assert (await http.get("/v1/models")).status_code == 200


async def test_a_key_works_from_its_networks_alone(shared: Stage) -> None:
    for network, status in (("127.0.0.0/8", 200), ("192.0.2.0/24", 403)):
        text = await visible_key(shared, terms=Terms(networks=(network,)))
        assert (await ask(shared, ("authorization", f"Bearer {text}"))).status_code == status
