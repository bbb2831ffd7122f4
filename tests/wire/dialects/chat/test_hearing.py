"""What a provider's chat completion says."""

import json
from typing import Any

import pytest

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.chat.hearing import ChatHearer, hear
from ollm.wire.dialects.pieces import (
    CALL,
    CALLS,
    FILTERED,
    LENGTH,
    REASONING,
    REFUSAL,
    STOP,
    TEXT,
    Answer,
    Began,
    Block,
    Counted,
    Done,
    End,
    Ended,
    Failed,
    Heard,
    Piece,
)
from ollm.wire.sse import Event
from tests.wire.dialects.provider_answers import chat_call, chunk


def whole(message: dict[str, Any] | None = None, finish: str | None = "stop", **members: Any) -> Answer:
    choice = {"message": {"content": "Hi"} if message is None else message, "finish_reason": finish, **members.pop("choice", {})}
    return hear(json.dumps({"created": 1700, "choices": [choice], **members}).encode())


def heard(*chunks: dict[str, Any] | bytes) -> list[Heard]:
    hearer = ChatHearer()
    events = [Event(c if isinstance(c, bytes) else json.dumps(c).encode()) for c in chunks]
    return [each for event in events for each in hearer.hear(event)]


def test_a_whole_answer() -> None:
    answer = whole({"content": "Hi", "refusal": "no", "reasoning": "hm"}, usage={"prompt_tokens": 2, "completion_tokens": 1})
    assert answer == Answer(
        (Block(REASONING, "hm"), Block(TEXT, "Hi"), Block(REFUSAL, "no")), End(STOP), Usage(input_tokens=2, output_tokens=1), 1700
    )


@pytest.mark.parametrize("said", [{"reasoning": "hm"}, {"reasoning_content": "hm"}, {"reasoning": "hm", "reasoning_content": "hm"}])
def test_reasoning_has_two_names(said: dict[str, str]) -> None:
    assert whole(said).blocks == (Block(REASONING, "hm"),)


def test_reasoning_that_is_no_text_is_none() -> None:
    assert whole({"content": "Hi", "reasoning": {"effort": "low"}}).blocks == (Block(TEXT, "Hi"),)


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", STOP), ("length", LENGTH), ("tool_calls", CALLS), ("function_call", CALLS), ("content_filter", FILTERED)]
)
def test_why_it_ended(finish: str, reason: str) -> None:
    assert whole(finish=finish).end == End(reason)


@pytest.mark.parametrize("member", ["stop_reason", "matched_stop"])
def test_the_sequence_that_ended_it(member: str) -> None:
    assert whole(choice={member: "END"}).end == End(STOP, "END")
    assert whole(choice={member: 128001}).end == End(STOP)


@pytest.mark.parametrize("created", [None, "canary", -1, 1e300, True])
def test_a_time_that_is_none(created: object) -> None:
    assert whole(created=created).created in {0, 1}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"index": 1, "message": {}, "finish_reason": "stop"}]},
        {"choices": [{"message": {}, "finish_reason": "stop"}] * 2},
        {"choices": [{"message": {}, "finish_reason": None}]},
        {"choices": [{"message": {}, "finish_reason": "canary"}]},
        {"choices": [{"message": {"content": [{"type": "canary"}]}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}, "finish_reason": "stop"}]},
        {"error": "canary"},
        {"error": {}},
    ],
)
def test_what_is_no_answer(body: object) -> None:
    with pytest.raises(WireError) as caught:
        hear(json.dumps(body).encode())
    assert "canary" not in str(caught.value)


def test_a_stream() -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 1}
    assert heard(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "hm", "content": "Hi"}),
        chunk({"refusal": "no"}, "length"),
        chunk(usage=None),
        chunk(usage=usage),
        b"[DONE]",
    ) == [
        Began(1700, "prov-1"),
        Piece(REASONING, REASONING, "hm"),
        Piece(TEXT, TEXT, "Hi"),
        Piece(REFUSAL, REFUSAL, "no"),
        Ended(End(LENGTH)),
        Counted(Usage(input_tokens=2, output_tokens=1)),
        Done(),
    ]


def calls(*deltas: dict[str, Any]) -> list[Piece]:
    return [each for each in heard(*(chunk({"tool_calls": [delta]}) for delta in deltas)) if isinstance(each, Piece)]


def test_calls_by_their_index() -> None:
    first, second = chat_call(0, "", id="a", name="f"), chat_call(1, "{", id="b", name="g")
    assert calls(first, second, chat_call(0, "{}"), chat_call(1, "}")) == [
        Piece("call0", CALL, "", "a", "f"),
        Piece("call1", CALL, "{", "b", "g"),
        Piece("call0", CALL, "{}"),
        Piece("call1", CALL, "}"),
    ]


def test_calls_by_their_ids_where_the_index_is_always_the_same_or_missing() -> None:
    for index in ({"index": 0}, {}):
        first, second = ({**index, "id": id, "function": {"name": "f", "arguments": "{}"}} for id in "ab")
        assert [(piece.key, piece.id) for piece in calls(first, second)] == [("call0", "a"), ("call1", "b")]


def test_an_id_that_is_repeated_is_the_same_call() -> None:
    first = chat_call(0, "{", id="a", name="f")
    assert {piece.key for piece in calls(first, chat_call(0, "1", id="a", name="f"), {"index": 0, "id": "x", "function": {"arguments": "}"}})} == {
        "call0"
    }


def test_a_call_waits_for_its_name() -> None:
    late = [{"index": 0, "id": "a"}, chat_call(0, "{"), {"index": 0, "function": {"name": "f", "arguments": "}"}}]
    assert calls(*late) == [Piece("call0", CALL, "{}", "a", "f")]
    with pytest.raises(WireError, match="without a name"):
        heard(chunk({"tool_calls": [chat_call(0, "{}")]}), b"[DONE]")


@pytest.mark.parametrize("event", [Event(b'{"error":{"message":"canary"}}'), Event(b'{"message":"canary"}', "error")])
def test_an_error_in_the_stream(event: Event) -> None:
    assert ChatHearer().hear(event) == [Failed()]


def test_an_error_says_what_it_stands_for() -> None:
    assert ChatHearer().hear(Event(b'{"error":{"code":"rate_limit_exceeded"}}')) == [Failed(429)]
    with pytest.raises(ErrorAnswer) as caught:
        hear(b'{"error":{"type":"overloaded_error"}}')
    assert caught.value.status == 503


@pytest.mark.parametrize("chunk", [b"canary", b"[]", b'{"choices":[{"index":1,"delta":{}}]}', b'{"choices":[{"finish_reason":"canary"}]}'])
def test_what_is_no_chunk(chunk: bytes) -> None:
    with pytest.raises(WireError) as caught:
        ChatHearer().hear(Event(chunk))
    assert "canary" not in str(caught.value)


def test_chunks_without_delta_or_id() -> None:
    assert heard({"id": 3, "choices": [{"index": 0}]}) == [Began(0, None)]
