"""What a request holds beside text."""

from typing import Any

import msgspec
import pytest

from ollm.wire.contents import count_images, count_messages, tools_of


def members(**values: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, [("a",)]),
        ({"tools": [{"type": "function", "name": "a"}, {"name": "b", "input_schema": {}}]}, [("a",), ("b",)]),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, [("web_search_20250305", "web_search")]),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}], "functions": [{"name": "d"}]}, [("c",), ("d",)]),
        ({"tools": [{"type": "function"}, 7]}, [None, None]),
        ({"tools": {"name": "a"}}, [None]),
        ({"tools": None}, []),
    ],
)
def test_tools(values: dict[str, Any], labels: list[tuple[str, ...] | None]) -> None:
    assert tools_of(members(**values)) == labels


def test_messages() -> None:
    assert count_messages(members(messages=[1, 2, 3])) == 3
    assert count_messages(members(input="text")) == 1
    assert count_messages({}) == 0


def test_images() -> None:
    parts = [{"type": "image_url"}, {"type": "text"}, {"type": "tool_result", "content": [{"type": "image"}]}, {"type": ["image"]}]
    assert count_images(members(messages=[{"content": parts}], input=[{"type": "input_image"}])) == 3
    assert count_images(members(messages="none")) == 0
