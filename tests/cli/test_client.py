"""The demo's client, both ways: bytes kept as they crossed the wire."""

import json

import pytest

from ollm.app.demo import BROKEN_MODEL, MODEL, Stage
from ollm.cli import client
from ollm.cli.client import Chat, Refusal, refused_chat, streamed_chat
from ollm.errors import OllmError

PROMPT = "Good morning"


@pytest.fixture(params=["sdk", "plain"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "sdk":
        pytest.importorskip("openai")
    monkeypatch.setattr(client, "_SDK", request.param == "sdk")


@pytest.mark.usefixtures("_way")
def test_a_streamed_chat_is_shown_and_kept(play: Stage) -> None:
    shown: list[str] = []
    chat = streamed_chat(play.url, play.api_key, MODEL, PROMPT, shown.append)
    assert len(shown) > 1, "it came at once"
    assert chat.text == "".join(shown)
    request = json.loads(chat.request)
    assert (request["model"], request["stream"], request["messages"]) == (MODEL, True, [{"role": "user", "content": PROMPT}])
    assert chat.response.startswith(b"data: ")
    assert chat.response.endswith(b"data: [DONE]\n\n")
    assert chat.receipt_id.startswith("rcpt_")


def test_a_chat_does_not_print_its_content() -> None:
    assert repr(Chat("the text", "rcpt_1", b"the request", b"the response")) == "<chat>"


def test_a_refusal_by_status_is_an_error_of_ours_without_content(play: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_SDK", False)
    with pytest.raises(OllmError) as problem:
        streamed_chat(play.url, "sk-ollm-unknown-key", MODEL, PROMPT, lambda piece: None)
    assert str(problem.value) == "the gateway answered 401"


def test_a_chat_that_has_to_be_refused(play: Stage) -> None:
    before = play.broken.counters.prompt_bytes
    refusal = refused_chat(play.url, play.api_key, BROKEN_MODEL, PROMPT)
    assert refusal.status == 503
    assert "quote.debug" in refusal.message
    assert refusal.receipt_id.startswith("rcpt_")
    assert play.broken.counters.prompt_bytes == before


def test_a_chat_that_was_served_all_the_same_is_told(play: Stage) -> None:
    served = refused_chat(play.url, play.api_key, MODEL, PROMPT)
    assert isinstance(served, Refusal)
    assert (served.status, served.message) == (200, "it was not refused")
