"""What a provider's response says."""

import json
from typing import Any

import pytest

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.pieces import (
    CALL,
    FILTERED,
    LENGTH,
    REASONING,
    REFUSAL,
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
from ollm.wire.dialects.responses.hearing import ResponsesHearer, hear
from ollm.wire.sse import Event
from tests.wire.dialects.provider_answers import ARGUMENTS, CALLS, halves, item_events, items, response
from tests.wire.dialects.provider_answers import REASONING as THOUGHT
from tests.wire.dialects.provider_answers import TEXT as SAID

COUNTS = Usage(input_tokens=50, cached_tokens=40, cache_write_tokens=10, output_tokens=18, reasoning_tokens=12)


def whole(**members: Any) -> Answer:
    return hear(json.dumps(response(**members)).encode())


def heard(*events: dict[str, Any]) -> list[Heard]:
    hearer = ResponsesHearer()
    return [each for event in events for each in hearer.hear(Event(json.dumps(event).encode(), event.get("type", "")))]


def message(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "message", "content": list(parts)}]


def test_a_whole_answer() -> None:
    calls = [Block(CALL, arguments, id, name) for id, name, arguments in CALLS]
    assert whole() == Answer((Block(REASONING, THOUGHT), Block(TEXT, SAID), *calls), End(STOP), COUNTS, 1700)
    assert whole(usage=None).usage is None and whole(created_at="x").created == 0


def test_summaries_and_refusals() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]},
        *message({"type": "refusal", "refusal": "no"}),
        {"type": "reasoning", "summary": []},
    ]
    assert whole(output=output).blocks == (Block(REASONING, "a"), Block(REASONING, "b"), Block(REFUSAL, "no"))


@pytest.mark.parametrize(("reason", "end"), [("max_output_tokens", LENGTH), ("content_filter", FILTERED)])
def test_an_answer_that_is_not_whole(reason: str, end: str) -> None:
    assert whole(status="incomplete", incomplete_details={"reason": reason}).end == End(end)


@pytest.mark.parametrize(
    "members",
    [
        {"error": {"message": "canary"}},
        {"output": None},
        {"output": "canary"},
        {"output": [{"type": "web_search_call"}]},
        {"output": [{"type": "function_call", "arguments": "canary"}]},
        {"output": message({"type": "canary"})},
        {"status": "failed"},
        {"status": "canary"},
        {"status": "incomplete"},
        {"status": "incomplete", "incomplete_details": {"reason": "canary"}},
    ],
)
def test_what_is_no_answer(members: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        whole(**members)
    assert "canary" not in str(caught.value)


def test_a_stream() -> None:
    begun = response(status="in_progress", output=[], usage=None)
    reasoning, said, first, _ = items()
    call, text = (CALL, 2, 0), ("output_text", 1, 0)
    added = {"type": "response.content_part.added", "output_index": 1, "item_id": "msg_1", "part": {}}
    annotation = {"type": "response.output_text.annotation.added", "output_index": 1}
    assert heard(
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *item_events(0, reasoning),
        added,
        *item_events(1, said),
        annotation,
        *item_events(2, first),
        {"type": "response.completed", "response": response()},
    ) == [
        Began(1700, "resp_prov"),
        Began(1700, "resp_prov"),
        *(Piece(("reasoning_text", 0, 0), REASONING, half) for half in halves(THOUGHT)),
        *(Piece(text, TEXT, half) for half in halves(SAID)),
        Piece(call, CALL, "", "call_a", "add"),
        *(Piece(call, CALL, half) for half in halves(ARGUMENTS[0])),
        Closed(call),
        Counted(COUNTS),
        Ended(End(STOP)),
        Done(),
    ]


def test_texts_that_are_said_only_at_their_end() -> None:
    _, _, first, second = items()
    where = {"output_index": 0, "content_index": 0}
    assert heard(
        {"type": "response.refusal.done", **where, "refusal": "no"},
        {"type": "response.reasoning_summary_text.done", "output_index": 1, "summary_index": 2, "text": "hm"},
        {"type": "response.output_text.delta", **where, "delta": ""},
        {"type": "response.output_text.done", **where, "text": "Hi"},
        {"type": "response.output_item.done", "output_index": 2, "item": first},
        {"type": "response.output_item.added", "output_index": 3, "item": {**second, "arguments": ""}},
        {"type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 3, "item": {**second, "arguments": "{}"}},
    ) == [
        Piece(("refusal", 0, 0), REFUSAL, "no"),
        Piece(("reasoning_summary_text", 1, 2), REASONING, "hm"),
        Piece(("output_text", 0, 0), TEXT, "Hi"),
        Piece((CALL, 2, 0), CALL, "", "call_a", "add"),
        Piece((CALL, 2, 0), CALL, ARGUMENTS[0]),
        Closed((CALL, 2, 0)),
        Piece((CALL, 3, 0), CALL, "", "call_b", "look"),
        Piece((CALL, 3, 0), CALL, "{}"),
        Closed((CALL, 3, 0)),
    ]


def test_an_answer_that_is_said_only_at_its_end() -> None:
    *pieces, counted, ended, done = heard({"type": "response.completed", "response": response()})
    assert [(p.kind, p.text, p.id, p.name) for p in pieces if isinstance(p, Piece)] == [
        (REASONING, THOUGHT, "", ""),
        (TEXT, SAID, "", ""),
        *((CALL, arguments, id, name) for id, name, arguments in CALLS),
    ]
    assert (counted, ended, done) == (Counted(COUNTS), Ended(End(STOP)), Done())


def test_an_answer_that_was_cut_short_and_not_counted() -> None:
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, output=None, usage=None, id=3, created_at=None)
    assert heard({"type": "response.incomplete", "response": cut}) == [Counted(None), Ended(End(LENGTH)), Done()]
    assert heard({"type": "response.queued", "response": cut}) == [Began(0, None)]


@pytest.mark.parametrize(
    "event",
    [
        Event(b'{"message":"canary"}', "error"),
        Event(b'{"type":"error","message":"canary"}'),
        Event(b'{"type":"response.failed","response":{"error":{"message":"canary"}}}'),
        Event(b'{"type":"response.cancelled"}'),
    ],
)
def test_an_error_in_the_stream(event: Event) -> None:
    assert ResponsesHearer().hear(event) == [Failed()]


def test_what_others_send_besides() -> None:
    hearer = ResponsesHearer()
    for data in (b"[DONE]", b"{}", b'{"type":"keepalive"}', b'{"type":"response.audio.delta","delta":"x"}', b'{"type":"response.content_part.done"}'):
        assert hearer.hear(Event(data)) == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_item.added", "item": {"type": "mcp_call", "name": "canary"}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "canary"},
        {"type": "response.output_text.delta", "delta": {"text": "canary"}},
        {"type": "response.output_text.delta", "output_index": "canary"},
        {"type": "response.completed", "response": {"status": "canary"}},
    ],
)
def test_what_cannot_be_told(event: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        heard(event)
    assert "canary" not in str(caught.value)


def test_an_error_says_what_it_stands_for() -> None:
    failed = b'{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"canary"}}}'
    assert ResponsesHearer().hear(Event(failed)) == [Failed(429)]
    assert ResponsesHearer().hear(Event(b'{"type":"error","code":"server_error","message":"canary"}')) == [Failed(500)]
    with pytest.raises(ErrorAnswer) as caught:
        hear(b'{"error":{"code":"server_error","message":"canary"},"output":null}')
    assert caught.value.status == 500
