"""Requests for a message that are malformed, or say things in their rarer ways. What becomes of each member: ../test_tables.py."""

from typing import Any

import pytest

from ollm.errors import WireError
from tests.wire.dialects.requests import translated


def to_chat(**members: Any) -> Any:
    return translated("messages", "chat.completions", **members)


def user(*blocks: object) -> list[object]:
    return [{"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "canary"}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "canary", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "canary"}]}, "messages"),
        ({"messages": user({"type": "canary"})}, "messages[0].content[0]"),
        ({"messages": user({"type": "tool_use", "id": "c", "name": "f", "input": {}})}, "messages[0].content[0]"),
        ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
        ({"messages": user({"type": "image"})}, "messages[0].content[0].source"),
        ({"messages": user({"type": "image", "source": {"type": "canary"}})}, "messages[0].content[0].source"),
        ({"messages": user({"type": "image", "source": {"type": "url", "url": "canary"}})}, "messages[0].content[0].source.url"),
        ({"messages": user({"type": "image", "source": {"type": "base64", "data": "canary"}})}, "messages[0].content[0].source.media_type"),
        ({"messages": user({"type": "document", "source": {"type": "text"}})}, "messages[0].content[0].source.data"),
        ({"messages": user({"type": "document", "title": "canary", "source": {"type": "text", "data": "x"}})}, "messages[0].content[0].title"),
        ({"messages": user({"type": "tool_result", "content": "canary"})}, "messages[0].content[0].tool_use_id"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f"}]}]}, "messages[0].content[0].input"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": []}]}]},
            "messages[0].content[0].input",
        ),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "canary"}}]}, "system[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [{"name": "bash", "type": "canary", "input_schema": {}}]}, "tools[0].type"),
        ({"tool_choice": {"type": "canary"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"service_tier": "canary"}, "service_tier"),
        ({"thinking": {"type": "canary"}}, "thinking"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, "thinking.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "canary", "schema": {}}}}, "output_config.format.schema"),
        ({"temperature": "canary"}, "temperature"),
        ({"stop_sequences": "canary"}, "stop_sequences"),
    ],
)
def test_what_is_malformed_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(WireError) as caught:
        to_chat(**members)
    assert caught.value.param == param and "canary" not in str(caught.value)


def test_thinking_that_is_off_is_no_effort() -> None:
    assert to_chat(thinking={"type": "disabled"})["reasoning_effort"] == "none"
    assert "reasoning_effort" not in to_chat(thinking={"type": "adaptive", "display": "summarized"})


def test_what_says_nothing() -> None:
    plain = to_chat()
    assert to_chat(stop_sequences=[], tools=[], output_config={}, system=None, speed="standard", thinking=None) == plain
    assert to_chat(tool_choice={"type": "auto", "disable_parallel_tool_use": False}) == plain | {"tool_choice": "auto"}


def test_a_document_of_plain_text_is_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "All of it."}
    assert to_chat(messages=user({"type": "document", "source": source}))["messages"] == [{"role": "user", "content": "All of it."}]


def test_tiers_have_other_names() -> None:
    assert to_chat(service_tier="standard_only")["service_tier"] == "default"
    assert to_chat(service_tier="auto")["service_tier"] == "auto"


def test_instructions_in_the_middle_keep_their_place() -> None:
    said = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    assert to_chat(system="s", messages=said)["messages"] == [{"role": "system", "content": "s"}, *said]
