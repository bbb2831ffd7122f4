"""Requests and whole answers, in every form."""

import msgspec
import pytest

from ollm.errors import RuleBlocked, WireError
from ollm.values.rules import PromptRule
from ollm.wire.detect.bodies import answer_screened, asks_for_logprobs, request_screened
from ollm.wire.detect.screen import Screen, screen_of
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.form import parse_form
from ollm.wire.request import parse_json

CARD = "4111111111111111"


def screen() -> Screen:
    found = screen_of([("t", PromptRule(name="c", detect="payment_card", action="mask", mask="#"))], "request")
    assert found is not None
    return found


def form(*parts: tuple[str, str]) -> bytes:
    return b"".join(f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{data}\r\n".encode() for head, data in parts) + b"--b--\r\n"


def test_what_is_judged_is_what_is_sent() -> None:
    body = f'{{"model":"m","temperature":1.0,"messages":[{{"role":"user","content":"{CARD}"}}]}}'.encode()
    acted: set[str] = set()
    request = request_screened(parse_json(body), screen(), acted)
    assert request.forward("up") == b'{"model":"up","temperature":1.0,"messages":[{"role":"user","content":"#"}]}'
    assert acted == {"t/c"}


def test_fields_of_a_form_and_names_of_its_files() -> None:
    body = form(('name="model"', "m"), ('name="prompt"', f"pay {CARD}"), (f'name="file"; filename="{CARD}.mp3"', CARD))
    request = request_screened(parse_form(body, "multipart/form-data; boundary=b", ENDPOINTS["audio.transcriptions"], "x"), screen(), set())
    sent = request.forward("up")
    assert b"pay #\r\n" in sent
    assert b'filename="#.mp3"' in sent
    assert sent.count(CARD.encode()) == 1  # what is in a file is no text


def test_a_field_that_is_no_text_is_refused() -> None:
    body = form(('name="model"', "m")).replace(b"--b--", b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\r\n--b--')
    with pytest.raises(WireError, match="UTF-8"):
        request_screened(parse_form(body, "multipart/form-data; boundary=b", ENDPOINTS["audio.transcriptions"], "x"), screen(), set())


def test_answers() -> None:
    assert answer_screened(f'{{"text":"{CARD}"}}'.encode(), "chat.completions", screen(), set(), text=False) == b'{"text":"#"}'
    assert answer_screened(f"{CARD} é".encode(), "audio.transcriptions", screen(), set(), text=True) == "# é".encode()
    numbers = f'{{"data":[{CARD}]}}'.encode()
    assert answer_screened(numbers, "embeddings", screen(), set(), text=False) == numbers
    with pytest.raises(RuleBlocked):
        answer_screened(f'{{"{CARD}":1}}'.encode(), "responses", screen(), set(), text=False)


@pytest.mark.parametrize(
    ("body", "unasked"),
    [(b'{"logprobs":null}', False), (b'{"logprobs": []}', False), (b'{"logprobs":{"content":[1]}}', True), (b'{"logprobs":[1]}', True)],
)
def test_log_probabilities_that_nobody_asked_for(body: bytes, unasked: bool) -> None:
    if unasked:
        with pytest.raises(WireError, match="token by token"):
            answer_screened(body, "chat.completions", screen(), set(), text=False)
    else:
        assert answer_screened(body, "chat.completions", screen(), set(), text=False) == body


@pytest.mark.parametrize(
    ("endpoint", "members", "asks"),
    [
        ("chat.completions", '"logprobs":true', True),
        ("chat.completions", '"logprobs":false', False),
        ("chat.completions", '"top_logprobs":2', True),
        ("completions", '"logprobs":0', True),
        ("completions", '"logprobs":null', False),
        ("responses", '"include":["message.output_text.logprobs"]', True),
        ("responses", '"include":["reasoning.encrypted_content"]', False),
        ("chat.completions", '"n":1', False),
    ],
)
def test_asks_for_logprobs(endpoint: str, members: str, asks: bool) -> None:
    assert asks_for_logprobs(parse_json(f'{{"model":"m",{members}}}'.encode(), ENDPOINTS[endpoint])) is asks


def test_members_stay_hidden() -> None:
    assert CARD not in repr(request_screened(parse_json(msgspec.json.encode({"model": "m", "x": "a"})), screen(), set()))


def test_a_request_without_a_trace_is_the_same_request() -> None:
    request = parse_json(f'{{"model":"{CARD}","messages":[{{"role":"user","content":"12 words"}}]}}'.encode())
    assert request_screened(request, screen(), set()) is request
