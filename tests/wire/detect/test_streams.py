"""Streams in every dialect: a match over several events is masked, blocks in time, and all else stays."""

import json
import random
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import ErrorAnswer, RuleBlocked, WireError
from ollm.values.rules import DETECTORS, PromptRule
from ollm.wire.answer import StreamRewriter
from ollm.wire.detect.screen import Screen, screen_of
from ollm.wire.detect.streams import ScreenedStream
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.typed_answer import TypedRewriter
from tools.detector_samples import samples

Parsed = list[tuple[str, Any]]


def screen(action: Any = "mask") -> Screen:
    rule = PromptRule(name="c", detect="payment_card", action=action, on=("answer",), mask="#")
    found = screen_of([("t", rule)], "answer")
    assert found is not None
    return found


def parsed(out: bytes) -> Parsed:
    found: Parsed = []
    for block in out.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event", ""), json.loads(lines["data"]) if lines["data"] != "[DONE]" else "[DONE]"))
    return found


def chat(*choices: dict[str, Any], action: str = "mask", include_usage: bool = False) -> tuple[Parsed, ScreenedStream]:
    stream = ScreenedStream(StreamRewriter(id="i", model="m", include_usage=include_usage), screen(action))
    out = b"".join(stream.feed(b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n") for choice in choices)
    return parsed(out + stream.feed(b"data: [DONE]\n\n")), stream


def typed(endpoint: str, *events: dict[str, Any]) -> Parsed:
    stream = ScreenedStream(TypedRewriter(ENDPOINTS[endpoint], id="i", model="m"), screen())
    out = b"".join(stream.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()) for event in events)
    return parsed(out if stream.ended else out + stream.close())


def delta(finish: str | None = None, index: int = 0, **members: Any) -> dict[str, Any]:
    return {"index": index, "delta": members, "finish_reason": finish}


def said(events: Parsed, name: str = "content", index: int = 0) -> str:
    choices = [choice for _, event in events if event != "[DONE]" for choice in event["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(name) or "" for choice in choices)


def test_chat() -> None:
    events, stream = chat(delta(role="assistant", content=""), delta(content="pay 4111 11"), delta(content="11 1111 1"), delta("stop", content="111"))
    assert said(events) == "pay #"
    assert stream.acted == {"t/c"}
    assert stream.done
    assert events[-1] == ("", "[DONE]")
    assert events[-2][1]["choices"][0]["finish_reason"] == "stop"


def test_what_is_held_goes_out_before_the_end() -> None:
    events, _ = chat(delta(content="call 12"), delta("stop"))
    assert said(events) == "call 12"
    assert events[-2][1]["choices"][0]["finish_reason"] == "stop"
    unfinished, _ = chat(delta(content="call 12"))
    assert said(unfinished) == "call 12"


def test_choices_fields_and_calls_have_windows_of_their_own() -> None:
    def call(arguments: str, **more: Any) -> dict[str, Any]:
        return delta(tool_calls=[{"index": 0, **more, "function": {"arguments": arguments}}])

    events, _ = chat(
        delta(content="4111 1111 "),
        delta(index=1, content="1111 1111"),
        delta(reasoning_content="4111 1111"),
        call('{"a":"4111111', id="c"),
        call('111111111"}'),
        delta("stop", content="1111 1111"),
        delta("stop", index=1),
    )
    assert said(events) == "#"
    assert said(events, index=1) == "1111 1111"
    assert said(events, "reasoning_content") == "4111 1111"
    arguments = [choice["delta"].get("tool_calls") for _, event in events[:-1] for choice in event["choices"]]
    assert "".join(call[0]["function"].get("arguments", "") for call in arguments if call) == '{"a":"#"}'


def test_completions_and_their_log_probabilities() -> None:
    events, _ = chat({"index": 0, "text": "4111 1111 1111 ", "logprobs": {"tokens": ["4111"]}}, {"index": 0, "text": "1111", "finish_reason": "stop"})
    assert "".join(choice["text"] for _, event in events[:-1] for choice in event["choices"]) == "#"
    assert "logprobs" not in json.dumps(events)


def test_a_block() -> None:
    with pytest.raises(RuleBlocked, match="t/c"):
        chat(delta(content="4111 1111 1111 "), delta("stop", content="1111"), action="block")


def test_responses_are_counted_on() -> None:
    place = {"output_index": 0, "item_id": "m", "content_index": 0}
    events = typed(
        "responses",
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r"}},
        {"type": "response.output_text.delta", "sequence_number": 1, **place, "delta": "pay 4111 1111 ", "obfuscation": "xx"},
        {"type": "response.output_text.delta", "sequence_number": 2, **place, "delta": "1111 1111"},
        {"type": "response.output_text.done", "sequence_number": 3, **place, "text": "pay 4111 1111 1111 1111"},
        {"type": "response.completed", "sequence_number": 4, "response": {"id": "r", "output": [{"text": "pay 4111 1111 1111 1111"}]}},
    )
    assert [event["sequence_number"] for _, event in events] == list(range(6))
    assert "".join(event["delta"] for _, event in events if "delta" in event) == "pay #"
    assert [name for name, _ in events][-3:] == ["response.output_text.delta", "response.output_text.done", "response.completed"]
    assert events[-1][1]["response"]["output"] == [{"text": "pay #"}]
    assert "obfuscation" not in json.dumps(events)


def test_messages() -> None:
    events = typed(
        "messages",
        {"type": "message_start", "message": {"id": "r"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "pay 4111 1111 "}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "1111 1111"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
    texts = [event["delta"]["text"] for _, event in events if event.get("delta", {}).get("type") == "text_delta"]
    assert "".join(texts) == "pay #"
    names = [name for name, _ in events]
    assert names[-4:] == ["content_block_delta", "content_block_stop", "message_delta", "message_stop"]


def test_transcripts() -> None:
    events = typed(
        "audio.transcriptions",
        {"type": "transcript.text.delta", "delta": "4111 1111 "},
        {"type": "transcript.text.delta", "delta": "1111 1111"},
        {"type": "transcript.text.done", "text": "4111 1111 1111 1111"},
    )
    assert "".join(event.get("delta", "") for _, event in events) == "#"


def test_failures_of_the_provider_are_what_they_were() -> None:
    stream = ScreenedStream(StreamRewriter(id="i", model="m", include_usage=False), screen())
    with pytest.raises(ErrorAnswer):
        stream.feed(b'data: {"error":{"code":500}}\n\n')
    with pytest.raises(WireError):
        stream.close()
    with pytest.raises(WireError):
        ScreenedStream(StreamRewriter(id="i", model="m", include_usage=False), screen()).feed(b'data: {"choices":[1]}\n\n')


CHAT = (
    b'data: {"id":"i","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}], "x": 1}\n\n'
)


def fed(stream: ScreenedStream, *texts: bytes) -> list[bytes]:
    return [stream.feed(CHAT % text) for text in texts]


def test_an_event_in_which_nothing_can_be_found_goes_out_as_it_came() -> None:
    inner = StreamRewriter(id="i", model="m", include_usage=False)
    came = [inner.feed(CHAT % text) for text in (b'"A "', b'"fox, \\u2019"', b'"12"', b'" x"')]
    out = fed(ScreenedStream(StreamRewriter(id="i", model="m", include_usage=False), screen()), b'"A "', b'"fox, \\u2019"', b'"12"', b'" x"')
    assert out[:2] == came[:2]
    assert said(parsed(out[2])) == ""
    assert said(parsed(out[3])) == "12 x"


@pytest.mark.parametrize(
    "text",
    [
        b'"a","content":"b"',
        b'"a"},"delta":{"content":"b"',
        b'"\\u0061"',
        b'"a"},"logprobs":{"content":[]},"x":{"y":1',
    ],
)
def test_what_may_be_read_in_two_ways_is_written_anew(text: bytes) -> None:
    inner = StreamRewriter(id="i", model="m", include_usage=False).feed(CHAT % text)
    (out,) = fed(ScreenedStream(StreamRewriter(id="i", model="m", include_usage=False), screen()), text)
    assert out != inner
    assert out.count(b"content") == 1


def test_typed_events_as_they_came_until_one_of_our_own_is_between() -> None:
    stream = ScreenedStream(TypedRewriter(ENDPOINTS["responses"], id="i", model="m"), screen())

    def sent(number: int, text: str, **more: Any) -> tuple[bytes, bytes]:
        event = {"type": "response.output_text.delta", "sequence_number": number, "output_index": 0, "delta": text, "logprobs": [], **more}
        came = b"event: response.output_text.delta\ndata: " + msgspec.json.encode(event) + b"\n\n"
        return came, stream.feed(came)

    came, out = sent(0, "fox", obfuscation="xx")
    assert out == came
    came, out = sent(1, "fox", logprobs=[{"token": "fox"}])
    assert b"token" not in out
    _, out = sent(2, " 12")
    assert json.loads(out.split(b"data: ")[1])["delta"] == " "
    done = {"type": "response.output_text.done", "sequence_number": 3, "output_index": 0, "text": "foxfox 12"}
    between = parsed(stream.feed(b"event: response.output_text.done\ndata: " + json.dumps(done).encode() + b"\n\n"))
    assert [(event["sequence_number"], event.get("delta")) for _, event in between] == [(3, "12"), (4, None)]
    _, out = sent(4, " fox")
    assert json.loads(out.split(b"data: ")[1])["sequence_number"] == 5


class Thorough(Screen):
    """Reads every text, whatever its event's bytes say."""

    def passes(self, document: bytes) -> bool:
        return False


@given(
    names=st.lists(st.sampled_from(DETECTORS), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 2**32),
    action=st.sampled_from(("mask", "block")),
)
def test_nothing_changes_by_the_short_way(names: list[Any], seed: int, action: Literal["mask", "block"]) -> None:
    rng = random.Random(seed)
    found = screen_of([("t", PromptRule(name=name.replace(":", "-"), detect=name, action=action, on=("answer",))) for name in names], "answer")
    assert found is not None
    text = "".join(rng.choice(("fox ", " \u00e9", ". ")) + each.text for each in samples(rng.choice(names), 2, seed))
    pieces: list[str] = []
    while text:
        size = rng.choice((1, 2, 5, 20))
        pieces.append(text[:size])
        text = text[size:]
    chunks = [b"data: " + json.dumps({"choices": [delta(content=piece)]}, ensure_ascii=rng.random() < 0.5).encode() + b"\n\n" for piece in pieces]
    assert outcome(found, chunks) == outcome(Thorough(found.rules), chunks)


def outcome(of: Screen, chunks: list[bytes]) -> tuple[list[Any], set[str], str]:
    stream = ScreenedStream(StreamRewriter(id="i", model="m", include_usage=False), of)
    out: list[Any] = []
    try:
        for chunk in (*chunks, b"data: [DONE]\n\n"):
            out += parsed(stream.feed(chunk))
    except RuleBlocked as problem:
        return out, stream.acted, problem.rule
    return out, stream.acted, ""
