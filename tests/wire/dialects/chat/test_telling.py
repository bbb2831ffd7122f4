"""Answers told as chat completions."""

import json
from typing import Any

from ollm.values.usage import Usage
from ollm.wire.answer import DONE
from ollm.wire.dialects.chat.telling import ChatTeller, tell
from ollm.wire.dialects.frame import Frame
from ollm.wire.dialects.pieces import CALL, CALLS, FILTERED, LENGTH, REASONING, REFUSAL, STOP, TEXT, Answer, Began, Block, End

COUNTS = Usage(input_tokens=2, output_tokens=1)


def frame(*, include_usage: bool = False) -> Frame:
    return Frame("chatcmpl-1", "demo", {}, include_usage)


def chunks(output: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in output.removesuffix(DONE).split(b"\n\n") if line]


def test_a_whole_answer() -> None:
    blocks = (Block(REASONING, "h"), Block(TEXT, "a"), Block(TEXT, "b"), Block(REFUSAL, "no"), Block(CALL, "{ }", "c", "f", 4))
    assert json.loads(tell(Answer(blocks, End(CALLS), COUNTS, 1700), frame())) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700,
        "model": "demo",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": "no",
                    "reasoning_content": "h",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{ }"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 1,
            "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_an_answer_of_nothing() -> None:
    said = json.loads(tell(Answer((), End(STOP), None), frame()))
    assert said["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": None} and "usage" not in said


def test_why_it_ended() -> None:
    for reason, finish in ((STOP, "stop"), (LENGTH, "length"), (CALLS, "tool_calls"), (FILTERED, "content_filter")):
        assert json.loads(tell(Answer((), End(reason), None), frame()))["choices"][0]["finish_reason"] == finish
        (last,) = chunks(ChatTeller(frame()).end(End(reason), None))
        assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish}]


def test_a_stream() -> None:
    teller = ChatTeller(frame(include_usage=True))
    text, first, second = Block(TEXT), Block(CALL, "", "a", "f", 1), Block(CALL, "", "b", "g", 2)
    output = teller.begin(Began(1700)) + teller.open(text) + teller.say(text, "Hi") + teller.close(text, cut=False)
    for call in (first, second):
        output += teller.open(call) + teller.say(call, "{}") + teller.close(call, cut=False)
    output += teller.end(End(CALLS), COUNTS)
    assert output.endswith(DONE)
    *said, last = chunks(output)
    assert all((c["id"], c["created"], c["model"], c["object"]) == ("chatcmpl-1", 1700, "demo", "chat.completion.chunk") for c in (*said, last))
    assert [chunk["choices"][0]["delta"] for chunk in said] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert {chunk["usage"] for chunk in said} == {None} and last["choices"] == [] and last["usage"]["total_tokens"] == 3


def test_usage_that_was_not_asked_for_or_not_counted_is_not_told() -> None:
    for teller, counts in ((ChatTeller(frame()), COUNTS), (ChatTeller(frame(include_usage=True)), None)):
        assert len(chunks(teller.end(End(STOP), counts))) == 1
    assert b'"usage"' not in ChatTeller(frame()).begin(Began())


def test_an_error_has_our_words() -> None:
    (said,) = chunks(ChatTeller(frame()).fail())
    assert said["error"]["code"] == "upstream_stream_failed" and said["error"]["param"] is None
