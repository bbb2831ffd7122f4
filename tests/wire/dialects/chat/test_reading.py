"""Chat completion requests that are malformed, or say things in their rarer ways. What becomes of each member: ../test_tables.py."""

from typing import Any

import pytest

from ollm.errors import WireError
from tests.wire.dialects.requests import translated


def to_messages(**members: Any) -> Any:
    return translated("chat.completions", "messages", **members)


def refused(**members: Any) -> str | None:
    with pytest.raises(WireError) as caught:
        to_messages(**members)
    assert "canary" not in str(caught.value)
    return caught.value.param


def user(*parts: object) -> list[object]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "canary"}, "messages"),
        ({"messages": ["canary"]}, "messages"),
        ({"messages": [{"content": "canary"}]}, "messages[0].role"),
        ({"messages": [{"role": "canary", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "function", "name": "canary", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": user({"text": "canary"})}, "messages[0].content[0].type"),
        ({"messages": user({"type": "canary"})}, "messages[0].content[0]"),
        ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
        ({"messages": user({"type": "image_url"})}, "messages[0].content[0].image_url"),
        ({"messages": user({"type": "image_url", "image_url": {"url": "canary"}})}, "messages[0].content[0].image_url.url"),
        ({"messages": user({"type": "file", "file": {"filename": "canary"}})}, "messages[0].content[0].file.file_data"),
        ({"messages": user({"type": "refusal", "refusal": "canary"})}, "messages[0].content[0]"),
        ({"messages": [{"role": "tool", "content": "canary"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]}, "messages[0].tool_calls[0].id"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"description": "canary"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": "canary"}}]}, "tools[0].function.strict"),
        ({"tool_choice": "canary"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"response_format": {"type": "canary"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "canary"}}}, "response_format.json_schema"),
        ({"max_completion_tokens": 5, "max_tokens": 6}, "max_tokens"),
        ({"max_completion_tokens": "canary"}, "max_completion_tokens"),
        ({"temperature": "canary"}, "temperature"),
        ({"stop": 3}, "stop"),
    ],
)
def test_what_is_malformed_is_named(members: dict[str, Any], param: str) -> None:
    assert refused(**members) == param


def test_one_stop_sequence_is_a_list_of_one() -> None:
    assert to_messages(stop="END")["stop_sequences"] == ["END"]


def test_the_same_limit_twice_is_no_contradiction() -> None:
    assert to_messages(max_completion_tokens=5, max_tokens=5)["max_tokens"] == 5


def test_results_of_tools_that_follow_each_other_are_one_turn_with_what_comes_next() -> None:
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": ""}} for id in "ab"]
    body = to_messages(
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
            {"role": "user", "content": "So?"},
            {"role": "user", "content": "Hm?"},
        ]
    )
    result = {"type": "tool_result"}
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id in "ab"]},
        {
            "role": "user",
            "content": [
                {**result, "tool_use_id": "a", "content": [{"type": "text", "text": "1"}]},
                {**result, "tool_use_id": "b", "content": [{"type": "text", "text": "2"}]},
                {"type": "text", "text": "So?"},
                {"type": "text", "text": "Hm?"},
            ],
        },
    ]


def test_neutral_values_say_nothing() -> None:
    neutral = {"n": 1, "logprobs": False, "frequency_penalty": 0.0, "logit_bias": {}, "modalities": ["text"], "seed": None, "store": False}
    assert to_messages(**neutral, stream_options={"include_obfuscation": False}) == to_messages()
