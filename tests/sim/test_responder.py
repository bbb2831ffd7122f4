"""The built-in responder speaks OpenAI's shapes, and says the same for the same request."""

import base64
import json
import struct
from typing import Any

import pytest

from ollm.errors import ApiError
from ollm.sim.responder import CHAT_MODEL, Answer, Pace, Responder
from ollm.sim.saying import MAX_ECHO

RESPONDER = Responder()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius"]}},
            "required": ["city", "unit"],
        },
    },
}


def ask(text: Any = "What is the weather in Paris?", **members: Any) -> Answer:
    body = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": text}], **members}
    return RESPONDER.chat(json.dumps(body).encode(), chat_id="chatcmpl-1", now=1_750_000_000)


def whole(answer: Answer) -> dict[str, Any]:
    assert not answer.streamed
    [part] = answer.parts
    document: dict[str, Any] = json.loads(part)
    return document


def events(answer: Answer) -> list[dict[str, Any]]:
    assert answer.streamed
    assert answer.parts[-1] == b"data: [DONE]\n\n"
    return [json.loads(part.removeprefix(b"data: ")) for part in answer.parts[:-1]]


def message(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = whole(answer)["choices"][0]["message"]
    return found


def test_a_whole_answer_repeats_the_users_words_as_proof() -> None:
    document = whole(ask("Hello there"))
    assert (document["id"], document["object"], document["created"]) == ("chatcmpl-1", "chat.completion", 1_750_000_000)
    assert document["model"] == CHAT_MODEL
    assert "“Hello there”" in document["choices"][0]["message"]["content"]
    assert document["choices"][0]["finish_reason"] == "stop"
    usage = document["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] == 3 + 3 + 3  # the message, its eleven bytes, the answer's start


def test_the_same_request_gets_the_same_answer() -> None:
    assert ask().parts == ask().parts


def test_a_long_prompt_is_repeated_in_part() -> None:
    assert "x" * MAX_ECHO + "…" in message(ask("x" * 5000))["content"]


def test_a_stream_says_what_the_whole_answer_says() -> None:
    chunks = events(ask(stream=True))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len(chunks) > 10
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said == message(ask())["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert all("usage" not in chunk for chunk in chunks)


def test_a_stream_counts_tokens_when_asked() -> None:
    chunks = events(ask(stream=True, stream_options={"include_usage": True}))
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole(ask())["usage"]


def test_several_choices_are_numbered() -> None:
    choices = whole(ask(n=3))["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert "choice 3" in choices[2]["message"]["content"]
    assert {chunk["choices"][0]["index"] for chunk in events(ask(n=3, stream=True))} == {0, 1, 2}


def test_a_mentioned_tool_is_called_with_fitting_arguments() -> None:
    document = whole(ask(tools=[WEATHER]))
    [call] = document["choices"][0]["message"]["tool_calls"]
    assert document["choices"][0]["finish_reason"] == "tool_calls"
    assert document["choices"][0]["message"]["content"] is None
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris", "unit": "celsius"}


def test_a_tool_call_streams_its_name_then_its_arguments() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in events(ask(tools=[WEATHER], stream=True))]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"]["name"] == "get_weather"
    assert json.loads("".join(call["function"]["arguments"] for call in calls))["city"] == "Paris"


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("Hello", "auto", False),
        ("Hello", "required", True),
        ("Hello", {"type": "function", "function": {"name": "get_weather"}}, True),
        ("weather?", "none", False),
        ("weather?", None, True),
    ],
)
def test_tool_choice_decides(text: str, choice: Any, called: bool) -> None:
    assert ("tool_calls" in message(ask(text, tools=[WEATHER], tool_choice=choice))) is called


def test_the_answer_to_a_tool_result_quotes_it() -> None:
    messages = [{"role": "user", "content": "weather?"}, {"role": "tool", "tool_call_id": "c", "content": "19 degrees"}]
    assert "19 degrees" in message(ask(messages=messages, tools=[WEATHER]))["content"]


def test_an_image_in_the_request_is_counted_and_never_fetched() -> None:
    def image(url: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]

    answer = whole(ask(image("data:image/png;base64,AAAA")))
    assert "1 message and 1 image" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens"] == whole(ask("What is this?"))["usage"]["prompt_tokens"] + 85
    with pytest.raises(ApiError, match="fetches nothing"):
        ask(image("https://example.com/a.png"))


def test_structured_answers_are_json() -> None:
    assert json.loads(message(ask("hi", response_format={"type": "json_object"}))["content"]) == {"messages": 1, "last_user_message": "hi"}
    schema = {"type": "object", "properties": {"steps": {"type": "array", "items": {"type": "string"}}}, "required": ["steps"]}
    structured = ask("hi", response_format={"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}})
    assert json.loads(message(structured)["content"]) == {"steps": ["hi"]}


def test_limits_and_stops_end_an_answer() -> None:
    limited = whole(ask(max_completion_tokens=4))
    assert limited["choices"][0]["finish_reason"] == "length"
    assert limited["usage"]["completion_tokens"] == 4
    assert message(ask(stop=["arrived"]))["content"].strip() == "Your request"


def test_a_long_system_prompt_counts_as_cached_in_blocks() -> None:
    messages = [{"role": "system", "content": "y" * 4 * 1200}, {"role": "user", "content": "hi"}]
    assert whole(ask(messages=messages))["usage"]["prompt_tokens_details"]["cached_tokens"] == 1152


def test_reasoning_is_part_of_the_completion() -> None:
    plain, thinking = whole(ask())["usage"], whole(ask(reasoning_effort="high"))["usage"]
    assert thinking["completion_tokens_details"]["reasoning_tokens"] == 32
    assert thinking["completion_tokens"] == plain["completion_tokens"] + 32


def embed(**members: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RESPONDER.embeddings(json.dumps({"model": "sim-embed", **members}).encode()).parts[0])
    return document


def test_embeddings_are_unit_vectors_in_either_encoding() -> None:
    document = embed(input=["one", "two"], dimensions=8)
    assert [row["index"] for row in document["data"]] == [0, 1]
    assert sum(x * x for x in document["data"][0]["embedding"]) == pytest.approx(1)
    packed = base64.b64decode(embed(input="one", dimensions=8, encoding_format="base64")["data"][0]["embedding"])
    assert struct.unpack("<8f", packed) == pytest.approx(document["data"][0]["embedding"])
    assert document["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_embeddings_take_tokens_too() -> None:
    assert len(embed(input=[1, 2, 3])["data"]) == 1
    assert len(embed(input=[[1], [2]])["data"]) == 2


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"model": "gpt-9"}, 404, "model_not_found"),
        ({"model": "sim-error-429"}, 429, "rate_limit_exceeded"),
        ({"model": "sim-error-500"}, 500, None),
        ({"messages": []}, 400, None),
        ({"messages": "text"}, 400, None),
        ({"n": 1000}, 400, None),
        ({"max_tokens": 0}, 400, None),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, 400, None),
    ],
)
def test_bad_requests_get_openais_errors(members: dict[str, Any], status: int, code: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        ask("secret words", **members)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "members", [{"input": []}, {"input": "a", "dimensions": 0}, {"input": "a", "encoding_format": "hex"}, {"model": "gpt-9", "input": "a"}]
)
def test_bad_embedding_requests_are_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        embed(**members)


@pytest.mark.parametrize("body", [b'{"model": "secret', b'{"model":"m","messages":[],"tool_choice":' + b'{"a":' * 50_000, b'{"model":"secret\xff"}'])
def test_bytes_that_are_no_request_are_refused_without_quoting_them(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        RESPONDER.chat(body, chat_id="c", now=0)
    assert "secret" not in str(caught.value)


def test_special_models_hold_or_break_an_answer() -> None:
    assert ask(model="sim-slow-headers").pace.headers > 60
    assert ask(model="sim-slow-first").pace.first > 60
    assert ask(model="sim-slow-stream", stream=True).pace.event > 0
    cut = ask(model="sim-cut", stream=True)
    assert cut.cut and cut.parts[-1] != b"data: [DONE]\n\n"
    assert ask(model="sim-cut").cut
    failing = ask(model="sim-error-stream", stream=True).parts
    assert failing[-1].startswith(b'data: {"error"')


def test_the_pace_of_a_responder_holds_for_its_own_models() -> None:
    slow = Responder(models=("demo",), pace=Pace(event=0.02))
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()
    assert slow.chat(body, chat_id="c", now=0).pace == Pace(event=0.02)
    assert [row["id"] for row in json.loads(slow.list_models().parts[0])["data"]] == ["demo"]


def test_an_answer_does_not_print_itself() -> None:
    assert "Hello" not in repr(ask("Hello"))
