"""What a provider's message says."""

import json
from typing import Any

import pytest

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.messages.hearing import MessagesHearer, hear
from ollm.wire.dialects.pieces import (
    CALL,
    CALLS,
    FILTERED,
    LENGTH,
    REASONING,
    STOP,
    TEXT,
    Answer,
    Began,
    Block,
    Closed,
    Counted,
    Done,
    End,
    Ended,
    Failed,
    Heard,
    Piece,
)
from ollm.wire.sse import Event
from tests.wire.dialects.provider_answers import block, message_delta, message_start


def whole(*content: dict[str, Any], **members: Any) -> Answer:
    return hear(json.dumps({"type": "message", "content": list(content), "stop_reason": "end_turn", **members}).encode())


def heard(*events: dict[str, Any]) -> list[Heard]:
    hearer = MessagesHearer()
    return [each for event in events for each in hearer.hear(Event(json.dumps(event).encode(), event.get("type", "")))]


def test_a_whole_answer() -> None:
    answer = whole(
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Hi", "citations": None},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1.0}},
        usage={"input_tokens": 2, "output_tokens": 1, "cache_read_input_tokens": None},
    )
    blocks = (Block(REASONING, "hm"), Block(TEXT, "Hi"), Block(CALL, '{"a": 1.0}', "c", "f"))
    assert answer == Answer(blocks, End(STOP), Usage(input_tokens=2, output_tokens=1), 0)
    assert whole().usage is None


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", STOP),
        ("stop_sequence", STOP),
        ("max_tokens", LENGTH),
        ("model_context_window_exceeded", LENGTH),
        ("tool_use", CALLS),
        ("refusal", FILTERED),
    ],
)
def test_why_it_ended(stop: str, reason: str) -> None:
    assert whole(stop_reason=stop, stop_sequence="END").end == End(reason, "END")


@pytest.mark.parametrize(
    "members",
    [
        {"type": "error", "error": {"message": "canary"}},
        {"error": "canary"},
        {"type": "canary"},
        {"content": None},
        {"content": "canary"},
        {"content": [{"type": "server_tool_use", "name": "canary"}]},
        {"content": [{"type": "tool_use", "input": {}}]},
        {"content": [{"text": "canary"}]},
        {"stop_reason": None},
        {"stop_reason": "pause_turn"},
    ],
)
def test_what_is_no_answer(members: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        whole(**members)
    assert "canary" not in str(caught.value)


def test_an_input_that_is_no_utf8() -> None:
    with pytest.raises(WireError):
        hear(b'{"type":"message","stop_reason":"end_turn","content":[{"type":"tool_use","name":"f","input":{"a":"\xff"}}]}')


def test_a_stream() -> None:
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    usage = Usage(input_tokens=50, cached_tokens=40, cache_write_tokens=10, output_tokens=1)
    assert heard(
        message_start(),
        {"type": "ping"},
        *block(0, {"type": "thinking", "thinking": "h"}, {"type": "thinking_delta", "thinking": "m"}, {"type": "signature_delta", "signature": "s"}),
        *block(
            1, {"type": "text", "text": ""}, {"type": "text_delta", "text": ""}, {"type": "text_delta", "text": "Hi"}, {"type": "citations_delta"}
        ),
        *block(2, {"type": "redacted_thinking", "data": "x"}),
        *block(3, call, {"type": "input_json_delta", "partial_json": ""}, {"type": "input_json_delta", "partial_json": '{"a":1}'}),
        message_delta("tool_use"),
        {"type": "message_stop"},
        {"type": "what_may_come"},
    ) == [
        Began(0, "msg_prov"),
        Counted(usage),
        Piece(0, REASONING, "h"),
        Piece(0, REASONING, "m"),
        Closed(0),
        Piece(1, TEXT, "Hi"),
        Closed(1),
        Closed(2),
        Piece(3, CALL, "", "c", "f"),
        Piece(3, CALL, '{"a":1}'),
        Closed(3),
        Ended(End(CALLS)),
        Counted(Usage(input_tokens=50, cached_tokens=40, cache_write_tokens=10, output_tokens=18, reasoning_tokens=12)),
        Done(),
    ]


@pytest.mark.parametrize(("given", "text"), [({}, "{}"), ({"a": 1}, '{"a": 1}')])
def test_a_call_that_has_its_input_from_the_beginning(given: object, text: str) -> None:
    assert heard(*block(0, {"type": "tool_use", "id": "c", "name": "f", "input": given})) == [
        Piece(0, CALL, "", "c", "f"),
        Piece(0, CALL, text),
        Closed(0),
    ]


def test_a_delta_without_a_reason_ends_nothing() -> None:
    assert heard({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}}) == [Counted(None)]
    assert heard({"type": "message_start", "message": {"id": 3}}) == [Began(0, None), Counted(None)]


def test_an_error_in_the_stream() -> None:
    assert MessagesHearer().hear(Event(b'{"type":"error","error":{"message":"canary"}}')) == [Failed()]
    assert MessagesHearer().hear(Event(b'{"message":"canary"}', "error")) == [Failed()]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "web_search_tool_result"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "canary"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "canary"}},
        {"type": "content_block_delta", "index": "canary"},
        {"type": "message_delta", "delta": {"stop_reason": "canary"}},
    ],
)
def test_what_cannot_be_told(event: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        heard(event)
    assert "canary" not in str(caught.value)


def test_an_error_says_what_it_stands_for() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"canary"}}'
    assert MessagesHearer().hear(Event(body)) == MessagesHearer().hear(Event(body, "error")) == [Failed(503)]
    with pytest.raises(ErrorAnswer) as caught:
        hear(body)
    assert caught.value.status == 503
