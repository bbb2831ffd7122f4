"""x-should-retry, as it is seen on the wire: no refusal is asked for again, nor what was repeated here; other passing failures may be."""

import httpx2
import pytest

from tests.system.installation import MAX_BODY, Installation

pytestmark = pytest.mark.process

CHAT = {"messages": [{"role": "user", "content": "hello"}]}


def ask(installation: Installation, key: str, **members: object) -> httpx2.Response:
    with httpx2.Client(trust_env=False) as client:
        return client.post(installation.url + "/v1/chat/completions", json={**CHAT, **members}, headers={"authorization": f"Bearer {key}"})


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"model": 7}, 400),
        ({"model": "malformed"}, 400),
        ({"model": "no-such-model"}, 404),
        ({"model": "chat", "provider": {"aci_session_ids": ["0" * 64]}}, 412),
        ({"model": "chat", "padding": " " * MAX_BODY}, 413),
        ({"model": "unverified"}, 503),
        ({"model": "down"}, 503),
    ],
)
def test_what_would_be_refused_again_is_not_to_be_repeated(installation: Installation, api_key: str, members: dict[str, object], status: int) -> None:
    answer = ask(installation, api_key, **members)
    assert (answer.status_code, answer.headers.get("x-should-retry")) == (status, "false")


def test_neither_is_what_the_key_may_not_do(installation: Installation, strict_key: str) -> None:
    for key, status in (("sk-ollm-unknown", 401), (strict_key, 403)):
        answer = ask(installation, key, model="chat")
        assert (answer.status_code, answer.headers.get("x-should-retry")) == (status, "false")


@pytest.mark.parametrize(("model", "status"), [("limited", 429), ("cut", 502), ("gone", 502)])
def test_what_may_pass_is_left_to_the_client(installation: Installation, api_key: str, model: str, status: int) -> None:
    answer = ask(installation, api_key, model=model)
    assert answer.status_code == status
    assert "x-should-retry" not in answer.headers


def test_what_was_repeated_here_is_not_to_be_repeated_by_the_client(installation: Installation, api_key: str) -> None:
    answer = ask(installation, api_key, model="failing")
    assert (answer.status_code, answer.headers["x-ollm-attempts"], answer.headers["x-should-retry"]) == (502, "3", "false")
