"""Answers told as messages."""

import json
from typing import Any

import msgspec
import pytest

from ollm.errors import WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.frame import Frame
from ollm.wire.dialects.messages.telling import MessagesTeller, tell
from ollm.wire.dialects.pieces import CALL, CALLS, FILTERED, LENGTH, REASONING, REFUSAL, STOP, TEXT, Answer, Began, Block, End

COUNTS = Usage(input_tokens=2, output_tokens=1)
NONE = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
    "output_tokens_details": {"thinking_tokens": 0},
}
UNCOUNTED = {"cache_creation": None, "inference_geo": None, "server_tool_use": None, "service_tier": None}
UNSAID = {"stop_details": None, "container": None}


def frame(**members: object) -> Frame:
    return Frame("msg_1", "demo", {name: msgspec.Raw(json.dumps(value).encode()) for name, value in members.items()})


def events(output: bytes) -> list[Any]:
    said = []
    for event in output.decode().split("\n\n")[:-1]:
        name, _, data = event.partition("\ndata: ")
        said.append(json.loads(data))
        assert name == f"event: {said[-1]['type']}"
    return said


def test_a_whole_answer() -> None:
    blocks = (Block(REASONING, "hm"), Block(TEXT, "Hi"), Block(CALL, '{ "n":1.50 }', "c", "f"))
    body = tell(Answer(blocks, End(CALLS), COUNTS), frame())
    assert b'"input":{ "n":1.50 }' in body
    assert json.loads(body) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "demo",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Hi", "citations": None},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"n": 1.5}, "caller": {"type": "direct"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        **UNSAID,
        "usage": NONE | UNCOUNTED | {"input_tokens": 2, "output_tokens": 1},
    }


@pytest.mark.parametrize("arguments", ["canary", "[]", '{"cut":'])
def test_arguments_that_are_no_object_cannot_be_told(arguments: str) -> None:
    with pytest.raises(WireError) as caught:
        tell(Answer((Block(CALL, arguments, "c", "f"),), End(CALLS), None), frame())
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("end", "kind", "told"),
    [
        (End(STOP), TEXT, ("end_turn", None)),
        (End(LENGTH), TEXT, ("max_tokens", None)),
        (End(CALLS), TEXT, ("tool_use", None)),
        (End(FILTERED), TEXT, ("refusal", None)),
        (End(STOP), REFUSAL, ("refusal", None)),
        (End(STOP, "END"), TEXT, ("stop_sequence", "END")),
        (End(STOP, "<|im_end|>"), TEXT, ("end_turn", None)),
        (End(LENGTH, "END"), REFUSAL, ("max_tokens", None)),
    ],
)
def test_why_it_ended(end: End, kind: str, told: tuple[str, str | None]) -> None:
    within = frame(stop_sequences=["END"])
    said = json.loads(tell(Answer((Block(kind, "x"),), end, None), within))
    assert (said["stop_reason"], said["stop_sequence"], said["usage"]) == (*told, NONE | UNCOUNTED)
    teller = MessagesTeller(within)
    teller.open(Block(kind))
    delta, stop = events(teller.end(end, None))
    assert (delta["delta"]["stop_reason"], delta["delta"]["stop_sequence"]) == told and stop == {"type": "message_stop"}


def test_a_stop_sequence_that_the_client_did_not_set_is_the_providers_own() -> None:
    assert json.loads(tell(Answer((), End(STOP, "END"), None), frame()))["stop_reason"] == "end_turn"


def test_a_stream() -> None:
    teller = MessagesTeller(frame())
    blocks = [Block(REASONING), Block(TEXT, number=1), Block(CALL, "", "c", "f", 2)]
    output = teller.begin(Began(1700))
    for block in blocks:
        output += teller.open(block) + teller.say(block, "x") + teller.close(block, cut=False)
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}, "caller": {"type": "direct"}}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "demo"}
    assert events(output + teller.end(End(CALLS), COUNTS)) == [
        {
            "type": "message_start",
            "message": {**head, "content": [], "stop_reason": None, "stop_sequence": None, **UNSAID, "usage": NONE | UNCOUNTED},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "", "citations": None}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": call},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "x"}},
        {"type": "content_block_stop", "index": 2},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None, **UNSAID},
            "usage": NONE | {"input_tokens": 2, "output_tokens": 1, "server_tool_use": None},
        },
        {"type": "message_stop"},
    ]


def test_an_error_has_our_words() -> None:
    (said,) = events(MessagesTeller(frame()).fail())
    assert said == {"type": "error", "error": {"type": "api_error", "message": "The provider failed while it was answering."}}
