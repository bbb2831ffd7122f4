"""Answers told as responses."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from ollm.values.usage import Usage
from ollm.wire.dialects.frame import Frame
from ollm.wire.dialects.pieces import CALL, CALLS, FILTERED, LENGTH, REASONING, REFUSAL, STOP, TEXT, Answer, Began, Block, End
from ollm.wire.dialects.responses.telling import ResponsesTeller, tell

COUNTS = Usage(input_tokens=2, output_tokens=1)
USAGE = {
    "input_tokens": 2,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 3,
}


def frame(**members: object) -> Frame:
    return Frame("resp_0f", "demo", {name: msgspec.Raw(json.dumps(value, indent=1).encode()) for name, value in members.items()})


def events(output: bytes) -> list[Any]:
    said = []
    for event in output.decode().split("\n\n")[:-1]:
        name, _, data = event.partition("\ndata: ")
        said.append(json.loads(data))
        assert "\n" not in data and name == f"event: {said[-1]['type']}"
    assert [event.pop("sequence_number") for event in said] == list(range(len(said)))
    return said


def test_a_whole_answer() -> None:
    blocks = (Block(REASONING, "hm"), Block(TEXT, "Hi", number=1), Block(REFUSAL, "no", number=2), Block(CALL, "{ }", "c", "f", 3))
    body = json.loads(tell(Answer(blocks, End(CALLS), COUNTS, 1700), frame()))
    Response.model_validate(body, strict=True)
    assert (body["id"], body["object"], body["created_at"], body["status"], body["model"]) == ("resp_0f", "response", 1700, "completed", "demo")
    assert (body["store"], body["error"], body["usage"], body["tools"], body["parallel_tool_calls"]) == (False, None, USAGE, [], True)
    done = {"status": "completed"}
    text = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
    assert body["output"] == [
        {"id": "rs_0f_0", **done, "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"id": "msg_0f_1", **done, "type": "message", "role": "assistant", "content": [text]},
        {"id": "msg_0f_2", **done, "type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"id": "fc_0f_3", **done, "type": "function_call", "call_id": "c", "name": "f", "arguments": "{ }"},
    ]


def test_the_request_is_repeated() -> None:
    asked = {"instructions": "Be brief.\n", "temperature": 0.5, "tool_choice": "none", "metadata": {"k": "v"}, "user": None}
    body = json.loads(tell(Answer((), End(STOP), None), frame(**asked, input="canary", model="canary", store=True)))
    assert {name: body[name] for name in asked} == asked
    assert body["usage"] is None and body["store"] is False and "canary" not in json.dumps(body)
    (created, _) = events(ResponsesTeller(frame(**asked)).begin(Began(1)))
    assert {name: created["response"][name] for name in asked} == asked


def test_what_the_request_says_in_part_is_completed() -> None:
    asked = {"tools": [{"type": "function", "name": "f", "strict": True}], "text": {"verbosity": "low"}, "reasoning": {"effort": "low"}}
    body = json.loads(tell(Answer((), End(STOP), None), frame(**asked)))
    assert body["tools"] == [{"description": None, "parameters": None, "strict": True, "type": "function", "name": "f"}]
    assert (body["text"], body["reasoning"]) == ({"format": {"type": "text"}, "verbosity": "low"}, {"effort": "low", "summary": None})
    assert (body["temperature"], body["top_p"], body["completed_at"], body["service_tier"]) == (1.0, 1.0, None, "default")


@pytest.mark.parametrize(("end", "reason"), [(LENGTH, "max_output_tokens"), (FILTERED, "content_filter")])
def test_an_answer_that_was_cut_short(end: str, reason: str) -> None:
    blocks = (Block(REASONING, "hm"), Block(TEXT, "Hi", number=1))
    body = json.loads(tell(Answer(blocks, End(end), None), frame()))
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]
    teller = ResponsesTeller(frame())
    teller.begin(Began())
    teller.open(blocks[1])
    closed = json.loads(teller.close(blocks[1], cut=True).split(b"data: ")[-1])
    assert closed["item"]["status"] == "incomplete"
    assert b"event: response.incomplete\n" in teller.end(End(end), None)


def told(kind: str) -> list[Any]:
    """The events of one block."""
    teller, block = ResponsesTeller(frame()), Block(kind, id="c", name="f", number=3) if kind == CALL else Block(kind, number=3)
    output = teller.open(block) + teller.say(block, "a") + teller.say(block, "b") + teller.close(block, cut=False)
    return events(output)


@pytest.mark.parametrize(
    ("kind", "id", "about", "member"),
    [
        (TEXT, "msg_0f_3", "output_text", "text"),
        (REFUSAL, "msg_0f_3", "refusal", "refusal"),
        (REASONING, "rs_0f_3", "reasoning_text", "text"),
    ],
)
def test_the_events_of_a_text(kind: str, id: str, about: str, member: str) -> None:
    added, part_added, *deltas, done, part_done, item_done = told(kind)
    where = {"item_id": id, "output_index": 3, "content_index": 0}
    assert (added["type"], added["output_index"], added["item"]["status"], added["item"]["content"]) == (
        "response.output_item.added",
        3,
        "in_progress",
        [],
    )
    assert part_added.items() >= {"type": "response.content_part.added", **where}.items() and part_added["part"][member] == ""
    for delta, text in zip(deltas, "ab", strict=True):
        assert delta.items() >= {"type": f"response.{about}.delta", **where, "delta": text}.items()
    assert done.items() >= {"type": f"response.{about}.done", **where, member: "ab"}.items()
    assert part_done["type"] == "response.content_part.done" and part_done["part"] == item_done["item"]["content"][0]
    assert (item_done["type"], item_done["item"]["id"], item_done["item"]["status"]) == ("response.output_item.done", id, "completed")
    assert all(("logprobs" in event) == (kind == TEXT) for event in (*deltas, done))


def test_the_events_of_a_call() -> None:
    item = {"id": "fc_0f_3", "type": "function_call", "call_id": "c", "name": "f"}
    where = {"item_id": "fc_0f_3", "output_index": 3}
    assert told(CALL) == [
        {"type": "response.output_item.added", "output_index": 3, "item": {**item, "status": "in_progress", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", **where, "delta": "a"},
        {"type": "response.function_call_arguments.delta", **where, "delta": "b"},
        {"type": "response.function_call_arguments.done", **where, "name": "f", "arguments": "ab"},
        {"type": "response.output_item.done", "output_index": 3, "item": {**item, "status": "completed", "arguments": "ab"}},
    ]


def test_the_first_and_the_last_events() -> None:
    teller, block = ResponsesTeller(frame()), Block(TEXT)
    output = teller.begin(Began(1700)) + teller.open(block) + teller.say(block, "Hi") + teller.close(block, cut=False)
    created, in_progress, *_, completed = events(output + teller.end(End(STOP), COUNTS))
    assert (created["type"], in_progress["type"], completed["type"]) == ("response.created", "response.in_progress", "response.completed")
    assert (created["response"]["status"], created["response"]["output"], created["response"]["usage"]) == ("in_progress", [], None)
    whole = json.loads(tell(Answer((Block(TEXT, "Hi"),), End(STOP), COUNTS, 1700), frame()))
    assert completed["response"] == whole


def test_an_error_has_our_words() -> None:
    (error,) = events(ResponsesTeller(frame()).fail())
    assert (error["type"], error["code"], error["error"]["message"]) == (
        "error",
        "upstream_stream_failed",
        "The provider failed while it was answering.",
    )
    teller, block = ResponsesTeller(frame()), Block(TEXT)
    *_, failed = events(teller.begin(Began(1)) + teller.open(block) + teller.say(block, "Hi") + teller.close(block, cut=False) + teller.fail())
    assert (failed["type"], failed["response"]["status"], failed["response"]["error"]["code"]) == ("response.failed", "failed", "server_error")
    assert len(failed["response"]["output"]) == 1
