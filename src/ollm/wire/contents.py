"""What a request holds beside text, counted where limits ask: messages, tools, images. In the shapes of every endpoint with a JSON body."""

from collections.abc import Mapping
from typing import Any

import msgspec

_IMAGES = frozenset({"image_url", "input_image", "image"})  # types of content parts: chat, Responses, Anthropic
_FUNCTIONS = frozenset({"", "function", "custom"})  # types of tools that the client runs, which are known by their name


class _Named(msgspec.Struct):
    name: str = ""


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    function: _Named | None = None
    custom: _Named | None = None


_tools = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_tool = msgspec.json.Decoder(_Tool).decode
_any = msgspec.json.Decoder().decode


def tools_of(members: Mapping[str, msgspec.Raw]) -> list[tuple[str, ...] | None]:
    """Of each tool, what it is known by: a function by its name, one that somebody else runs by its type first. None: it can't be read."""
    found: list[tuple[str, ...] | None] = []
    for member in ("tools", "functions"):
        if member in members:
            try:
                found += [_labels(raw) for raw in _tools(members[member]) or ()]
            except msgspec.MsgspecError:
                found.append(None)
    return found


def _labels(raw: msgspec.Raw) -> tuple[str, ...] | None:
    try:
        tool = _tool(raw)
    except msgspec.MsgspecError:
        return None
    name = next((each for each in (tool.name, tool.function and tool.function.name, tool.custom and tool.custom.name) if each), None)
    kind = tool.type or ""
    labels = (name,) if kind in _FUNCTIONS else (kind, name)
    return tuple(each for each in labels if each) or None


def count_messages(members: Mapping[str, msgspec.Raw]) -> int:
    """Turns of the conversation, or texts of a list."""
    counts = [
        len(value) if isinstance(value, list) else 1 for name in ("messages", "input", "prompt") if (value := _value(members, name)) is not None
    ]
    return max(counts, default=0)


def count_images(members: Mapping[str, msgspec.Raw]) -> int:
    """Pictures in the conversation."""
    return sum(_images(_value(members, name)) for name in ("messages", "input", "system") if name in members)


def _value(members: Mapping[str, msgspec.Raw], name: str) -> Any:
    return _any(members[name]) if name in members else None


def _images(value: Any) -> int:
    if isinstance(value, dict):
        return (value.get("type") in _IMAGES if isinstance(value.get("type"), str) else 0) + sum(map(_images, value.values()))
    return sum(map(_images, value)) if isinstance(value, list) else 0
