"""What a provider that speaks Responses is asked."""

from typing import Any

import pytest

from ollm.errors import WireError
from ollm.wire.dialects.conversation import ASSISTANT, USER, Blob, Conversation, File, Image, Refusal, Result, Text, Turn
from ollm.wire.dialects.responses.asking import ask
from tests.wire.dialects.requests import translated

_SCHEMA = {"type": "object"}
WITH_EVERYTHING = {
    "model": "up/m",
    "input": [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
                {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "document.pdf"},
            ],
        },
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{ "n":1.50}'},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        {"type": "message", "role": "assistant", "id": "msg_4_0", "status": "completed", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Do."}]},
    ],
    "store": False,
    "max_output_tokens": 77,
    "tools": [{"type": "function", "name": "f", "parameters": _SCHEMA, "strict": False}],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "minimal"},
    "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": _SCHEMA, "description": "d", "strict": True}},
    "temperature": 1.5,
    "service_tier": "flex",
    "user": "u",
    "prompt_cache_key": "k",
    "stream": True,
}


def of_chat(**members: Any) -> Any:
    return translated("chat.completions", "responses", **members)


def test_a_request_with_everything() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{ "n":1.50}'}}
    body = of_chat(
        stream=True,
        messages=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
                ],
            },
            {"role": "assistant", "content": "I look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "user", "content": "Do."},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=True,
        reasoning_effort="minimal",
        verbosity="low",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA, "description": "d", "strict": True}},
        temperature=1.5,
        service_tier="flex",
        user="u",
        prompt_cache_key="k",
    )
    assert body == WITH_EVERYTHING


def test_json_without_a_schema() -> None:
    assert of_chat(response_format={"type": "json_object"})["text"] == {"format": {"type": "json_object"}}


def test_a_choice_in_a_word_and_a_tool_with_a_description() -> None:
    body = of_chat(tools=[{"type": "function", "function": {"name": "f", "description": "F", "strict": True}}], tool_choice="auto")
    assert body["tools"] == [{"type": "function", "name": "f", "parameters": None, "strict": True, "description": "F"}]
    assert body["tool_choice"] == "auto"


def test_documents_and_results_of_a_message() -> None:
    pdf = {"type": "document", "title": "T", "source": {"type": "url", "url": "https://x.example/a.pdf"}}
    png = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    body = translated(
        "messages",
        "responses",
        messages=[
            {"role": "user", "content": [pdf]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}, {"type": "text", "text": "Hm."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Here:"},
                    {"type": "tool_result", "tool_use_id": "c", "content": [png], "is_error": True},
                    {"type": "tool_result", "tool_use_id": "d"},
                ],
            },
        ],
    )
    assert body["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_file", "file_url": "https://x.example/a.pdf", "filename": "T"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": "Hm."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Here:"}]},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"}],
        },
        {"type": "function_call_output", "call_id": "d", "output": ""},
    ]


@pytest.mark.parametrize("parts", [(), (Text(""),)])
def test_a_failure_without_a_word_cannot_be_said(parts: tuple[Text, ...]) -> None:
    failed = Result("c", parts, "messages[0].content[0]", failed=True)
    with pytest.raises(WireError) as caught:
        ask(Conversation((Turn(USER, (failed,), "messages[0]"),), (), {}), "m", False)
    assert caught.value.param == "messages[0].content[0]"


def test_an_empty_turn_stays_a_turn() -> None:
    (item,) = of_chat(messages=[{"role": "user", "content": []}])["input"]
    assert item["content"] == [{"type": "input_text", "text": ""}]
    (item,) = of_chat(messages=[{"role": "assistant", "content": None}])["input"]
    assert item["content"] == ""


def test_words_in_parts_of_the_assistants() -> None:
    said = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    (item,) = of_chat(messages=[{"role": "assistant", "content": said}])["input"]
    assert item["content"] == [{"type": "output_text", "text": "a", "annotations": []}, {"type": "refusal", "refusal": "b"}]


def test_parts_that_the_role_does_not_have() -> None:
    image = Image(Blob("https://x.example", None, "here"))
    for role, part in ((USER, Refusal("no", "here")), (ASSISTANT, image), (ASSISTANT, File(image.blob))):
        with pytest.raises(WireError) as caught:
            ask(Conversation((Turn(role, (part,), "x"),), (), {}), "m", False)
        assert caught.value.param == "here"
