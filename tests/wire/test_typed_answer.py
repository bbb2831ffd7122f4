"""Streams of typed events, as the endpoints that have them define their end."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import ErrorAnswer, WireError
from ollm.testing.providers.every_endpoint import MESSAGES_USAGE, answer
from ollm.values.usage import Usage
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.typed_answer import TypedRewriter

CANARY = "canary-0815"


def stream(name: str, **members: Any) -> bytes:
    shaped = answer(ENDPOINTS[name].path.removeprefix("/v1"), json.dumps({"model": "theirs", "stream": True, **members}).encode(), "application/json")
    assert shaped is not None
    return b"".join(shaped.pieces)


def rewriter(name: str) -> TypedRewriter:
    return TypedRewriter(ENDPOINTS[name], id="ours-1", model="demo")


def documents(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]


def through(name: str, data: bytes) -> tuple[TypedRewriter, bytes]:
    seen = rewriter(name)
    out = seen.feed(data)
    return seen, out if seen.ended else out + seen.close()


def test_a_response_gets_our_id_and_model_in_all_events_that_have_it() -> None:
    seen, out = through("responses", stream("responses"))
    events = documents(out)
    assert {(event["response"]["id"], event["response"]["model"]) for event in events if "response" in event} == {("ours-1", "demo")}
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (seen.done, seen.failed, seen.provider_id) == (True, False, "resp_theirs")
    assert seen.usage == Usage(input_tokens=8, cached_tokens=4, output_tokens=5, reasoning_tokens=2)
    assert seen.content_events == 11
    assert out.startswith(b"event: response.created\n")


def test_all_other_bytes_of_an_event_are_kept() -> None:
    data = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta", "delta":"caf\\u00e9" ,"obfuscation":"x7","n":1.0}\n\n'
    assert rewriter("responses").feed(data) == data.replace(b", ", b",").replace(b'" ,', b'",')


@pytest.mark.parametrize("kind", ["response.incomplete", "response.failed"])
def test_other_ends_of_a_response(kind: str) -> None:
    event = {"type": kind, "response": {"id": "x", "model": "y", "status": "failed", "error": {"code": "c", "message": CANARY}, "usage": None}}
    begun = b'event: response.created\ndata: {"type":"response.created","response":{"id":"x"}}\n\n'
    seen, out = through("responses", begun + f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode())
    assert seen.done
    assert (seen.fault is not None) == (kind == "response.failed"), "it is an end, and the provider's failure all the same"
    assert CANARY.encode() not in out
    assert documents(out)[1]["response"]["error"]["message"] == "The provider failed while it was answering."


@pytest.mark.parametrize(("code", "status"), [("rate_limit_exceeded", 429), ("server_error", 500), ("else", None)])
def test_a_response_that_fails_before_it_begins_is_an_error(code: str, status: int | None) -> None:
    event = {"type": "response.failed", "response": {"id": "x", "status": "failed", "error": {"code": code, "message": CANARY}}}
    with pytest.raises(ErrorAnswer) as caught:
        rewriter("responses").feed(f"data: {json.dumps(event)}\n\n".encode())
    assert caught.value.status == status


def test_anthropics_usage_comes_in_two_halves() -> None:
    seen, out = through("messages", stream("messages"))
    assert seen.usage == Usage(input_tokens=8, cached_tokens=4, output_tokens=7)
    assert documents(out)[0]["message"]["usage"] == {**MESSAGES_USAGE, "output_tokens": 1}
    assert documents(out)[0]["message"]["id"] == "ours-1"
    assert (seen.done, seen.provider_id) == (True, "msg_theirs")


def test_the_end_of_several_pictures_is_that_of_the_body() -> None:
    data = stream("images.generations", n=2)
    seen = rewriter("images.generations")
    first = seen.feed(data)
    assert not seen.ended
    assert [event["type"] for event in documents(first)] == ["image_generation.partial_image", "image_generation.completed"]
    assert [event["type"] for event in documents(seen.close())] == ["image_generation.completed"]
    assert seen.done
    assert seen.usage == Usage(input_tokens=5, image_output_tokens=272, images=2)


def test_the_count_of_a_message_that_was_cut_is_an_estimate() -> None:
    data = stream("messages")
    cut = rewriter("messages")
    cut.feed(data[: data.index(b"event: content_block_stop")])
    assert cut.usage is not None
    assert (cut.usage.input_tokens, cut.usage.output_tokens, cut.usage.estimated) == (8, 11, True)
    whole, _ = through("messages", data)
    assert whole.usage is not None and not whole.usage.estimated


@pytest.mark.parametrize("name", ["responses", "messages", "images.generations", "audio.transcriptions"])
def test_a_cut_stream_has_no_end(name: str) -> None:
    data = stream(name)
    cut = rewriter(name)
    cut.feed(data[: data.rindex(b"event:")] + b"event: half")
    with pytest.raises(WireError):
        cut.close()
    nothing = rewriter(name)
    with pytest.raises(WireError):
        nothing.close()


@pytest.mark.parametrize(
    ("name", "event", "status"),
    [
        ("responses", b'event: error\ndata: {"type":"error","code":"x","message":"%s","param":null}\n\n', None),
        ("responses", b'data: {"error":{"message":"%s"}}\n\n', None),
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"%s"}}\n\n', 503),
        ("audio.transcriptions", b'data: {"error":{"message":"%s"}}\n\n', None),
    ],
)
def test_a_providers_error_is_told_in_our_words(name: str, event: bytes, status: int | None) -> None:
    good = stream(name).partition(b"\n\n")[0] + b"\n\n"
    seen, out = through(name, good + event % CANARY.encode())
    assert (seen.failed, seen.done) == (True, False)
    assert seen.fault is not None
    assert (seen.fault.status, CANARY in str(seen.fault)) == (status, False)
    assert CANARY.encode() not in out
    out = out[out.index(b"\n\n") + 2 :]
    [told] = documents(out)
    assert told["error"]["code"] == "upstream_stream_failed"
    assert out.startswith(b"event: error\n") == (name == "messages")
    assert seen.feed(stream(name)) == b""


@pytest.mark.parametrize(
    ("name", "event", "status"),
    [
        ("responses", b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"%s","param":null}\n\n', 429),
        ("responses", b'data: {"error":{"message":"%s"}}\n\n', None),
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"%s"}}\n\n', 503),
        ("audio.transcriptions", b'data: {"error":{"message":"%s","code":"503"}}\n\n', 503),
    ],
)
def test_an_error_before_anything_else_is_no_stream(name: str, event: bytes, status: int | None) -> None:
    with pytest.raises(ErrorAnswer) as caught:
        rewriter(name).feed(b": comment\n\n" + event % CANARY.encode())
    assert caught.value.status == status
    assert CANARY not in str(caught.value)


def test_garbage_is_told_after_the_good_events_before_it() -> None:
    seen = rewriter("messages")
    good = stream("messages").split(b"\n\n")[0] + b"\n\n"
    assert documents(seen.feed(good + b"data: [1]\n\n"))
    with pytest.raises(WireError):
        seen.feed(good)
    with pytest.raises(WireError):
        rewriter("responses").feed(b"data: {\n\n")


def test_done_marks_of_others_are_dropped() -> None:
    seen, out = through("audio.transcriptions", stream("audio.transcriptions") + b"data: [DONE]\n\n")
    assert b"[DONE]" not in out
    assert seen.done


@given(st.sampled_from(["responses", "messages", "images.generations"]), st.lists(st.integers(0, 4000), max_size=6))
def test_it_does_not_matter_where_the_transport_cut(name: str, cuts: list[int]) -> None:
    data = stream(name)
    _, whole = through(name, data)
    seen, out, last = rewriter(name), b"", 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        out += seen.feed(data[last:cut])
        last = cut
    assert (out if seen.ended else out + seen.close()) == whole


@given(st.binary(max_size=300))
def test_noise_raises_nothing_else(noise: bytes) -> None:
    seen = rewriter("responses")
    try:
        seen.feed(b"data: " + noise + b"\n\n")
    except WireError:
        pass


def test_a_message_that_is_cut_is_an_estimate_of_the_tier_that_served() -> None:
    seen = rewriter("messages")
    usage = {"input_tokens": 5, "output_tokens": 1, "service_tier": "priority"}
    seen.feed(data_event({"type": "message_start", "message": {"id": "x", "usage": usage}}))
    for _ in range(3):
        seen.feed(data_event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}))
    assert seen.usage == Usage(input_tokens=5, output_tokens=3, estimated=True, tier="priority")
    assert seen.tier == "priority"


def test_the_tier_of_a_response_is_known_before_its_counts() -> None:
    seen = rewriter("responses")
    seen.feed(data_event({"type": "response.created", "response": {"id": "x", "service_tier": "flex", "usage": None}}))
    assert (seen.tier, seen.usage) == ("flex", None)
    seen.feed(data_event({"type": "response.completed", "response": {"id": "x", "usage": {"input_tokens": 2}}}))
    assert seen.usage == Usage(input_tokens=2, tier="flex")


def test_counts_that_are_none_change_nothing() -> None:
    seen = rewriter("audio.transcriptions")
    seen.feed(data_event({"type": "transcript.text.delta", "delta": "x", "usage": []}))
    seen.feed(data_event({"type": "transcript.text.delta", "delta": "x", "usage": {}}))
    assert seen.usage is None
    seen.feed(data_event({"type": "transcript.text.done", "text": "x", "usage": {"type": "duration", "seconds": 2}}))
    assert seen.usage == Usage(audio_ms=2000)


def data_event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
