"""Requests for a response that are malformed, or say things in their rarer ways. What becomes of each member: ../test_tables.py."""

from typing import Any

import pytest

from ollm.errors import WireError
from tests.wire.dialects.requests import translated


def to_chat(**members: Any) -> Any:
    return translated("responses", "chat.completions", **members)


def user(*parts: object) -> list[object]:
    return [{"role": "user", "content": list(parts)}]


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "ok"}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["canary"]}, "input"),
        ({"input": [{"content": "canary"}]}, "input[0].role"),
        ({"input": [{"role": "canary", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "canary"}]}, "input[0]"),
        ({"input": user({"text": "canary"})}, "input[0].content[0].type"),
        ({"input": user({"type": "output_text", "text": "canary"})}, "input[0].content[0]"),
        ({"input": user({"type": "input_text"})}, "input[0].content[0].text"),
        ({"input": user({"type": "input_image", "image_url": "canary"})}, "input[0].content[0].image_url"),
        ({"input": user({"type": "input_file", "filename": "canary"})}, "input[0].content[0].file_data"),
        ({"input": user({"type": "input_file", "file_data": "https://canary.example"})}, "input[0].content[0].file_data"),
        ({"input": user({"type": "input_file", "file_url": "data:application/pdf;base64,canary"})}, "input[0].content[0].file_data"),
        ({"input": [{**CALL, "arguments": None}]}, "input[0].arguments"),
        ({"input": [CALL, {**OUTPUT, "call_id": None}]}, "input[1].call_id"),
        ({"input": [CALL, {**OUTPUT, "output": None}]}, "input[1].output"),
        ({"tools": [{"type": "canary"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "description": "canary"}]}, "tools[0].name"),
        ({"tool_choice": "canary"}, "tool_choice"),
        ({"tool_choice": {"type": "mcp", "server_label": "canary"}}, "tool_choice"),
        ({"text": {"format": {"type": "canary"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "canary"}}}, "text.format.schema"),
        ({"include": ["canary"]}, "include"),
        ({"max_output_tokens": "canary"}, "max_output_tokens"),
        ({"instructions": ["canary"]}, "instructions"),
    ],
)
def test_what_is_malformed_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(WireError) as caught:
        to_chat(**members)
    assert caught.value.param == param and "canary" not in str(caught.value)


def test_a_conversation_of_items() -> None:
    """Instructions, messages in both forms, reasoning that is left out, two calls in one turn, and their results."""
    second = {**CALL, "call_id": "d", "arguments": '{"a": 1}'}
    body = to_chat(
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": "Be kind."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look."}], "status": "completed"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            CALL,
            {"type": "reasoning", "id": "rs_2", "summary": []},
            second,
            OUTPUT,
            {**OUTPUT, "call_id": "d", "output": [{"type": "input_image", "image_url": "https://x.example/a.png"}]},
            {"role": "user", "content": "So?"},
            {"role": "assistant", "content": "So."},
        ],
    )
    calls = [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "d", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
    ]
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "I look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
        {"role": "tool", "tool_call_id": "d", "content": ""},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]},
        {"role": "user", "content": "So?"},
        {"role": "assistant", "content": "So."},
    ]


def test_calls_after_results_are_another_turn() -> None:
    said = to_chat(input=[{"role": "user", "content": "x"}, CALL, OUTPUT, {**CALL, "call_id": "d"}, {**OUTPUT, "call_id": "d"}])["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "assistant", "tool"]
    assert said[1]["content"] is None


def test_a_result_after_words_of_the_user_is_another_turn() -> None:
    assert [message["role"] for message in to_chat(input=[CALL, {"role": "user", "content": "x"}, OUTPUT])["messages"]] == [
        "assistant",
        "user",
        "tool",
    ]


def test_reasoning_alone_says_nothing() -> None:
    assert to_chat(input=[{"type": "reasoning", "summary": []}, {"role": "user", "content": "x"}])["messages"] == [{"role": "user", "content": "x"}]


def test_what_is_included_needs_nothing() -> None:
    assert to_chat(include=["reasoning.encrypted_content", "file_search_call.results"], reasoning={}, text={}) == to_chat()
    assert to_chat(stream_options={"include_obfuscation": False}, truncation="disabled", background=False, tools=[]) == to_chat()


def test_how_tools_are_chosen() -> None:
    assert to_chat(tool_choice="required")["tool_choice"] == "required"
    assert to_chat(tool_choice={"type": "function", "name": "f"})["tool_choice"] == {"type": "function", "function": {"name": "f"}}


def test_a_file_and_its_detail() -> None:
    file = {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf", "detail": "auto"}
    assert to_chat(input=user(file))["messages"][0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}
    ]
