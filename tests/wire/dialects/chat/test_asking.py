"""What a provider that speaks chat completions is asked."""

from typing import Any

import pytest

from ollm.errors import WireError
from ollm.wire.dialects import DIALECTS
from ollm.wire.dialects.chat.asking import ask
from ollm.wire.dialects.conversation import SYSTEM, USER, Blob, Call, Conversation, File, Text, Turn
from tests.wire.dialects.requests import parsed, translated

_FUNCTION = {"name": "read", "description": "Reads.", "parameters": {"type": "object"}, "strict": True}
AGENTS_CHAT = {
    "model": "up/m",
    "max_completion_tokens": 77,
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "What is on a.png and in b?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.png"}'}},
                {"id": "c2", "type": "function", "function": {"name": "read", "arguments": '{"path": "b"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": ""},
        {"role": "tool", "tool_call_id": "c2", "content": "no such file"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}, {"type": "text", "text": "Go on."}],
        },
    ],
    "tools": [{"type": "function", "function": _FUNCTION}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "stop": ["END"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}},
    "stream": True,
    "stream_options": {"include_usage": True},
}


def of_messages(**members: Any) -> Any:
    return translated("messages", "chat.completions", **members)


def test_a_request_of_an_agent() -> None:
    """System, cached parts, tools, thinking of an earlier turn, two calls, their results with an image, and what the user says next."""
    png = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    body = of_messages(
        stream=True,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Be kind."}],
        messages=[
            {"role": "user", "content": "What is on a.png and in b?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": ""},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "read", "input": {"path": "a.png"}},
                    {"type": "tool_use", "id": "c2", "name": "read", "input": {"path": "b"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "image", "source": png}]},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "no such file", "is_error": True},
                    {"type": "text", "text": "Go on."},
                ],
            },
        ],
        tools=[{"name": "read", "description": "Reads.", "input_schema": {"type": "object"}, "strict": True}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )
    assert body == AGENTS_CHAT


def test_the_arguments_of_a_call_stay_byte_for_byte() -> None:
    body = b"""{"model":"m","max_tokens":9.0,"messages":[{"role":"user","content":"caf\\u00e9"},{"role":"assistant","content":[
      {"type":"tool_use","id":"c","name":"f","input":{ "n": 12345678901234567890.10,\n "s":"\\u00e9" }}]},{"role":"user","content":"?"}]}"""
    made = DIALECTS["messages", "chat.completions"].request(parsed(body), "up/m", stream=False)
    assert rb'"arguments":"{ \"n\": 12345678901234567890.10,\n \"s\":\"\\u00e9\" }"' in made
    assert b'"max_completion_tokens":9.0' in made


@pytest.mark.parametrize(("choice", "made"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_how_tools_are_chosen(choice: str, made: str) -> None:
    assert of_messages(tool_choice={"type": choice})["tool_choice"] == made


def test_a_tool_that_is_demanded_is_named() -> None:
    assert of_messages(tool_choice={"type": "tool", "name": "f"})["tool_choice"] == {"type": "function", "function": {"name": "f"}}


def test_what_the_user_says_between_results_keeps_its_place() -> None:
    result = {"type": "tool_result", "content": "ok"}
    said = [{**result, "tool_use_id": "a"}, {"type": "text", "text": "and"}, {**result, "tool_use_id": "b"}]
    assert [m["role"] for m in of_messages(messages=[{"role": "user", "content": said}])["messages"]] == ["tool", "user", "tool"]


def test_a_failure_without_a_word_cannot_be_said() -> None:
    for content in (None, "", [], [{"type": "text", "text": ""}]):
        result = {"type": "tool_result", "tool_use_id": "a", "is_error": True} | ({"content": content} if content is not None else {})
        with pytest.raises(WireError) as caught:
            of_messages(messages=[{"role": "user", "content": [result]}])
        assert caught.value.param == "messages[0].content[0]"


def test_empty_turns_stay_turns() -> None:
    messages = [{"role": "user", "content": []}, {"role": "assistant", "content": []}, {"role": "user", "content": "x"}]
    assert of_messages(messages=messages)["messages"] == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "x"},
    ]


def test_a_file_without_a_name_gets_one() -> None:
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}
    (message,) = of_messages(messages=[{"role": "user", "content": [pdf]}])["messages"]
    assert message["content"] == [{"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGk="}}]
    assert File(Blob("x", None, "y")).name is None


def test_json_without_a_schema() -> None:
    body = translated("responses", "chat.completions", text={"format": {"type": "json_object"}})
    assert body["response_format"] == {"type": "json_object"}


def test_a_call_stands_in_the_assistants_turn_alone() -> None:
    for role in (SYSTEM, USER):
        with pytest.raises(WireError) as caught:
            ask(Conversation((Turn(role, (Text("x"), Call("c", "f", "{}", "here")), "x"),), (), {}), "m", False)
        assert caught.value.param == "here"
