"""What a provider that speaks Messages is asked."""

from typing import Any

import pytest

from ollm.errors import WireError
from ollm.wire.dialects.messages.asking import DEFAULT_LIMIT
from tests.wire.dialects.requests import translated


def of_chat(**members: Any) -> Any:
    return translated("chat.completions", "messages", **members)


def refused(**members: Any) -> str | None:
    with pytest.raises(WireError) as caught:
        of_chat(**members)
    assert "canary" not in str(caught.value)
    return caught.value.param


def test_a_request_with_everything() -> None:
    body = of_chat(
        stream=True,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "image_url", "image_url": {"url": "data:image/webp;base64,aGk=", "detail": "auto"}},
                    {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
                ],
            },
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "I'd rather not."}]},
            {"role": "system", "content": "Do."},
            {"role": "user", "content": "Go on."},
        ],
        tools=[{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g", "strict": False, "description": "G"}}],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        stop=["END"],
        temperature=1,
        top_p=0.9,
        service_tier="default",
        user="somebody",
    )
    assert body == {
        "model": "up/m",
        "max_tokens": 77,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "aGk="}},
                    {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}, "title": "a.pdf"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "I'd rather not."}]},
            {"role": "system", "content": [{"type": "text", "text": "Do."}]},
            {"role": "user", "content": [{"type": "text", "text": "Go on."}]},
        ],
        "tools": [
            {"name": "f", "input_schema": {"type": "object", "properties": {}}},
            {"name": "g", "input_schema": {"type": "object", "properties": {}}, "description": "G", "strict": False},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["END"],
        "temperature": 1,
        "top_p": 0.9,
        "service_tier": "standard_only",
        "stream": True,
    }


def test_a_limit_that_must_be_has_a_default() -> None:
    assert of_chat(max_completion_tokens=None)["max_tokens"] == DEFAULT_LIMIT


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"temperature": 1.01}, "temperature"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": [{"role": "system", "content": "canary"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "canary"}]}, "messages[1]"),
    ],
)
def test_what_messages_cannot_say(members: dict[str, Any], param: str) -> None:
    assert refused(**members) == param


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,canary"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "https://x.example", "detail": "low"}}, "image_url.detail"),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,canary"}}, "file.file_data"),
    ],
)
def test_what_messages_cannot_show(part: dict[str, Any], param: str) -> None:
    assert refused(messages=[{"role": "user", "content": [part]}]) == f"messages[0].content[0].{param}"


def test_arguments_must_be_an_object() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "canary"}}
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "y"}]
    assert refused(messages=said) == "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("members", "made"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
    ],
)
def test_how_tools_are_chosen(members: dict[str, Any], made: object) -> None:
    assert of_chat(tools=[{"type": "function", "function": {"name": "f"}}], **members).get("tool_choice") == made


def test_without_tools_nothing_is_chosen() -> None:
    assert of_chat(tool_choice="none", parallel_tool_calls=False) == of_chat()


def test_no_effort_is_thinking_switched_off() -> None:
    body = of_chat(reasoning_effort="none")
    assert body["thinking"] == {"type": "disabled"} and "output_config" not in body


def test_turns_without_a_word_are_left_out() -> None:
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "y"}]
    assert [m["role"] for m in of_chat(messages=said)["messages"]] == ["user", "user"]


def test_the_results_of_a_response_keep_images_and_failures() -> None:
    body = translated(
        "responses",
        "messages",
        input=[
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "data:image/png;base64,aGk="}]},
        ],
    )
    assert body["messages"] == [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}],
                }
            ],
        },
    ]
