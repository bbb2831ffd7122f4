"""Whole answers and streams of every direction, as the real SDKs understand them."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.values.usage import Usage
from ollm.wire.dialects import DIALECTS, SIDES
from ollm.wire.rewriting import Rewriter
from ollm.wire.strict_json import parse_object
from tests.wire.dialects import clients, provider_answers
from tests.wire.dialects.damage import damaged
from tests.wire.dialects.provider_answers import ARGUMENTS, CALLS, REASONING, TEXT

USAGE = Usage(input_tokens=50, cached_tokens=40, cache_write_tokens=10, output_tokens=18, reasoning_tokens=12)
IDS = {"chat.completions": "chatcmpl-0f3a", "messages": "msg_0f3a", "responses": "resp_0f3a"}
ENDS = {"chat.completions": "tool_calls", "messages": "tool_use", "responses": "completed"}
DIRECTIONS = pytest.mark.parametrize(("asked", "spoken"), sorted(DIALECTS), ids=lambda name: name)


def stream_of(asked: str, spoken: str, *, include_usage: bool = True) -> Rewriter:
    return DIALECTS[asked, spoken].stream(id=IDS[asked], model="demo", include_usage=include_usage)


def expected(asked: str) -> dict[str, Any]:
    return {
        "id": IDS[asked],
        "model": "demo",
        "reasoning": REASONING,
        "text": TEXT,
        "calls": [(id, name, json.loads(arguments)) for id, name, arguments in CALLS],
        "end": ENDS[asked],
        "used": (100, 30),
    }


def test_every_two_apis_are_translated() -> None:
    assert set(DIALECTS) == {(a, b) for a in SIDES for b in SIDES if a != b}
    assert all((dialect.asked, dialect.spoken) == direction for direction, dialect in DIALECTS.items())


@DIRECTIONS
def test_a_whole_answer_reaches_the_sdk(asked: str, spoken: str) -> None:
    body, usage = DIALECTS[asked, spoken].whole(provider_answers.WHOLE[spoken](), id=IDS[asked], model="demo")
    assert clients.WHOLE[asked](body) == expected(asked)
    assert usage == USAGE


@DIRECTIONS
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_reaches_the_sdk_however_it_is_cut(asked: str, spoken: str, size: int) -> None:
    stream = stream_of(asked, spoken)
    body = provider_answers.STREAMS[spoken]()
    output = b"".join(stream.feed(body[start : start + size]) for start in range(0, len(body), size))
    assert clients.STREAM[asked](output, size) == expected(asked)
    assert (stream.usage, stream.done, stream.failed, stream.ended) == (USAGE, True, False, True)
    assert stream.provider_id in {"prov-1", "msg_prov", "resp_prov"}
    assert stream.content_events == 8 and stream.feed(body) == b""


@DIRECTIONS
def test_arguments_of_tools_keep_their_text(asked: str, spoken: str) -> None:
    """Big numbers, spaces and escapes are the model's; nobody reads them as numbers in between."""
    stream = stream_of(asked, spoken)
    events = [json.loads(line[6:]) for line in stream.feed(provider_answers.STREAMS[spoken]()).split(b"\n") if line.startswith(b"data: {")]
    readers: dict[str, Callable[[Any], list[tuple[int, str]]]] = {
        "chat.completions": lambda e: [(c["index"], c["function"]["arguments"]) for x in e["choices"] for c in x["delta"].get("tool_calls", ())],
        "messages": lambda e: [(e["index"], e["delta"]["partial_json"])] if e.get("delta", {}).get("type") == "input_json_delta" else [],
        "responses": lambda e: [(e["output_index"], e["delta"])] if e["type"] == "response.function_call_arguments.delta" else [],
    }
    pieces = readers[asked]
    texts: dict[int, str] = {}
    for index, text in (piece for event in events for piece in pieces(event)):
        texts[index] = texts.get(index, "") + text
    assert tuple(texts.values()) == ARGUMENTS
    body, _ = DIALECTS[asked, spoken].whole(provider_answers.WHOLE[spoken](), id=IDS[asked], model="demo")
    assert (b"12345678901234567890.10" in body) and (asked == "messages" or json.dumps(ARGUMENTS[0])[1:-1].encode() in body)


def observed(asked: str, spoken: str, pieces: list[bytes]) -> tuple[Any, ...]:
    stream, output, errors = stream_of(asked, spoken), b"", set()
    for piece in (*pieces, b""):
        try:
            output += stream.feed(piece)
        except WireError as error:
            errors.add(str(error))
    assert "canary" not in "".join(errors)
    return output, errors, stream.done, stream.failed, stream.usage, stream.content_events, stream.provider_id


@DIRECTIONS
@given(data=st.data())
def test_damage_is_a_wire_error_wherever_the_transport_cuts(asked: str, spoken: str, data: st.DataObject) -> None:
    body = bytearray(provider_answers.STREAMS[spoken]())
    for _ in range(data.draw(st.integers(0, 4))):
        where = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "drop", "event"]))
        if kind == "change":
            body[where] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del body[where + 1 :]
        elif kind == "drop":
            del body[where : where + data.draw(st.integers(1, 300))]
            body = body or bytearray(b"\n")
        else:
            body[where:where] = data.draw(
                st.sampled_from([b'\n\ndata: {"error":"canary"}\n\n', b"\n\ndata: [DONE]\n\n", b'\n\ndata: {"type":1}\n\n'])
            )
    edges = sorted({0, len(body), *data.draw(st.lists(st.integers(0, len(body)), max_size=20))})
    whole = observed(asked, spoken, [bytes(body)])
    assert observed(asked, spoken, [bytes(body[a:b]) for a, b in pairwise(edges)]) == whole


@DIRECTIONS
@given(data=st.data())
def test_a_damaged_whole_answer_is_a_wire_error_or_an_answer(asked: str, spoken: str, data: st.DataObject) -> None:
    body = json.dumps(damaged(json.loads(provider_answers.WHOLE[spoken]()), data)).encode()
    refused = ""
    try:
        made, _ = DIALECTS[asked, spoken].whole(body, id="x_1", model="demo")
    except WireError as error:
        made, refused = b"{}", str(error)
    assert isinstance(json.loads(made), dict) and "canary" not in refused


@DIRECTIONS
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"a":', b'{"error":{"message":"canary"}}', b'{"a":' + b"[" * 100_000, b'{"id":"\xff"}'])
def test_no_answer_is_no_answer(asked: str, spoken: str, body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        DIALECTS[asked, spoken].whole(body, id="x_1", model="demo")
    assert "canary" not in str(caught.value)


@DIRECTIONS
def test_a_cut_stream_is_an_error_when_the_body_ends(asked: str, spoken: str) -> None:
    stream = stream_of(asked, spoken)
    body = provider_answers.STREAMS[spoken]()
    stream.feed(body[: len(body) * 2 // 3])
    assert not stream.ended
    with pytest.raises(WireError, match="without its end mark"):
        stream.close()


@DIRECTIONS
def test_a_provider_error_ends_the_stream_in_our_words(asked: str, spoken: str) -> None:
    stream = stream_of(asked, spoken)
    body = provider_answers.STREAMS[spoken]()
    cut = body.index(b"\n\n", len(body) // 3) + 2
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"canary"}}\n\n'
    output = stream.feed(body[:cut] + error + body[cut:])
    assert (stream.failed, stream.done, stream.ended) == (True, False, True)
    assert b"canary" not in output and b"The provider failed while it was answering." in output
    with pytest.raises(Exception, match="The provider failed while it was answering") as caught:
        clients.STREAM[asked](output, 4096)
    assert type(caught.value).__name__ in {"APIError", "InternalServerError", "APIStatusError"}


@DIRECTIONS
def test_a_request_says_the_same_in_every_api(asked: str, spoken: str) -> None:
    """The request that each API has for the same wish goes over and back."""
    wishes = {
        "chat.completions": {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 5, "temperature": 0.5},
        "messages": {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0.5},
        "responses": {"model": "demo", "input": "Hi", "max_output_tokens": 5, "temperature": 0.5},
    }
    members = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in wishes[asked].items()}
    body = json.loads(DIALECTS[asked, spoken].request(members, "up/m", stream=True))
    assert body.pop("model") == "up/m" and body.pop("stream") is True
    back = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in body.items()}
    again = json.loads(DIALECTS[spoken, asked].request({"model": msgspec.Raw(b'"x"'), **back}, "demo", stream=False))
    assert again["temperature"] == 0.5 and json.dumps("Hi") in json.dumps(again) and 5 in again.values()


@DIRECTIONS
def test_what_a_real_client_asks_can_be_asked_of_every_provider(asked: str, spoken: str) -> None:
    """The same wish, by each SDK in its own way: an image, a tool, its result, and an answer of a given form."""
    answers = {
        "chat.completions": json.dumps({"id": "x", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}]}),
        "messages": json.dumps({"id": "x", "type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}),
        "responses": json.dumps({"id": "x", "object": "response", "output": []}),
    }
    body = clients.request_of(asked, answers[asked].encode())
    made = DIALECTS[asked, spoken].request(parse_object(body), "up/m", stream=False)
    text = made.decode()
    assert json.loads(made)["model"] == "up/m" and "somebody" not in text
    assert all(word in text for word in ("Be brief.", "Where?", "iVBORw0KGgo=", "Zürich", "Rain.", "look", "Looks.", "degrees", "500"))
    same = DIALECTS[spoken, asked].request(parse_object(made), "demo", stream=False)
    assert DIALECTS[asked, spoken].request(parse_object(same), "up/m", stream=False) == made


@DIRECTIONS
def test_an_answer_can_be_sent_back(asked: str, spoken: str) -> None:
    """With the results of its calls, as agents do: each member that we told is one that we read."""
    whole, _ = DIALECTS[asked, spoken].whole(provider_answers.WHOLE[spoken](), id=IDS[asked], model="demo")
    said = json.loads(whole)
    ids = [id for id, _, _ in CALLS]
    further: dict[str, dict[str, Any]] = {
        "chat.completions": {
            "messages": [
                {"role": "user", "content": "Hi"},
                *(choice["message"] for choice in said.get("choices", ())),
                *({"role": "tool", "tool_call_id": id, "content": "ok"} for id in ids),
            ]
        },
        "messages": {
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": said.get("content")},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "ok"} for id in ids]},
            ],
        },
        "responses": {
            "input": [
                {"role": "user", "content": "Hi"},
                *said.get("output", ()),
                *({"type": "function_call_output", "call_id": id, "output": "ok"} for id in ids),
            ]
        },
    }
    body = json.dumps({"model": "demo", **further[asked]}).encode()
    made = DIALECTS[asked, spoken].request(parse_object(body), "up/m", stream=False).decode()
    assert REASONING not in made and json.dumps(TEXT, ensure_ascii=False)[1:-1] in made
    assert all(made.count(f'"{id}"') == 2 for id in ids) and "1.2345678901234567e+19" in made.replace(
        "12345678901234567890.10", "1.2345678901234567e+19"
    )
