"""A request put to a provider as a chat completion (OpenAI's OpenAPI document, CreateChatCompletionRequest)."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ollm.errors import WireError
from ollm.wire.dialects.conversation import ASSISTANT, SYSTEM, Call, Choice, Conversation, File, Format, Image, Part, Refusal, Result, Text, Turn
from ollm.wire.dialects.fields import Carried, Dropped, Refused, Rules, judge

_FILE_NAME = "document.pdf"  # of a file without a name: OpenAI demands one
_SCHEMA_NAME = "answer"  # of a schema without a name: demanded as well
_encode = msgspec.json.Encoder().encode

WRITES: Rules = {
    "model": Carried("model", "the provider's name of the model"),
    "stream": Carried("stream"),
    "usage": Carried("stream_options.include_usage", "always asked for"),
    "turns": Carried("messages"),
    "text": Carried("messages[].content"),
    "refusal": Carried("messages[].content[]", "a part `refusal`"),
    "image": Carried("messages[].content[].image_url.url"),
    "image_url": Carried("messages[].content[].image_url.url"),
    "detail": Carried("messages[].content[].image_url.detail"),
    "file": Carried("messages[].content[].file.file_data"),
    "file_url": Refused("chat completions, in which the model's provider is asked, takes no URL of a file: send the data itself"),
    "file_name": Carried("messages[].content[].file.filename", f"`{_FILE_NAME}` where there is none"),
    "call": Carried("messages[].tool_calls[]", "the arguments byte for byte; they stand behind the text of their turn"),
    "result": Carried("messages[]", "a message of role `tool`"),
    "result_image": Carried("messages[].content[]", "in a message of the user's behind the results, which carry text alone"),
    "failed": Dropped("the content of the result, which says what failed, goes on; refused where it has none"),
    "tool": Carried("tools[].function"),
    "strict": Carried("tools[].function.strict"),
    "choice": Carried("tool_choice"),
    "parallel": Carried("parallel_tool_calls"),
    "limit": Carried("max_completion_tokens"),
    "temperature": Carried("temperature"),
    "top_p": Carried("top_p"),
    "stop": Carried("stop"),
    "effort": Carried("reasoning_effort"),
    "format": Carried("response_format", f"`json_schema`; its name is `{_SCHEMA_NAME}` where there is none"),
    "format_description": Carried("response_format.json_schema.description"),
    "format_any": Carried("response_format", "`json_object`"),
    "verbosity": Carried("verbosity"),
    "tier": Carried("service_tier"),
    "cache_key": Carried("prompt_cache_key"),
    "cache_retention": Carried("prompt_cache_retention"),
    "cache_options": Carried("prompt_cache_options"),
    "safety": Carried("safety_identifier"),
    "user": Carried("user"),
}


def ask(conversation: Conversation, model: str, stream: bool) -> bytes:
    """The body. Raises: WireError for what can't be said, by the client's word for it."""
    body: dict[str, Any] = {"model": model, "messages": [message for turn in conversation.turns for message in _messages(turn)]}
    for name, option in conversation.options.items():
        member = judge(WRITES, name, option.at)
        if member is not None and name != "format_description":
            body[member] = _value(option.value)
    if conversation.tools:
        body["tools"] = [
            {"type": "function", "function": _without_none(name=t.name, description=t.description, parameters=t.schema, strict=t.strict)}
            for t in conversation.tools
        ]
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return _encode(body)


def _without_none(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _value(value: object) -> object:
    if isinstance(value, Choice):
        return value.mode if value.tool is None else {"type": "function", "function": {"name": value.tool}}
    if isinstance(value, Format):
        if value.schema is None:
            return {"type": "json_object"}
        schema = _without_none(name=value.name or _SCHEMA_NAME, description=value.description, schema=value.schema, strict=value.strict)
        return {"type": "json_schema", "json_schema": schema}
    return value


def _messages(turn: Turn) -> list[dict[str, Any]]:
    if turn.role == SYSTEM:
        return [{"role": "system", "content": _content(turn.parts)}]
    if turn.role == ASSISTANT:
        return [_assistant(turn)]
    messages: list[dict[str, Any]] = []
    moved: list[Part] = []  # images of results, behind which the user's own parts stand
    own: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, Result):
            own.append(part)
            continue
        if own:
            messages.append({"role": "user", "content": _content([*moved, *own])})
            moved, own = [], []
        messages.append({"role": "tool", "tool_call_id": part.call, "content": _result(part)})
        moved += [inner for inner in part.parts if not isinstance(inner, Text)]
    if moved or own or not messages:
        messages.append({"role": "user", "content": _content([*moved, *own])})
    return messages


def _assistant(turn: Turn) -> dict[str, Any]:
    said = [part for part in turn.parts if not isinstance(part, Call)]
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in turn.parts
        if isinstance(part, Call)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not said else _content(said)}
    if calls:
        message["tool_calls"] = calls
    return message


def _result(result: Result) -> object:
    if result.failed and not any(isinstance(part, Text) and part.text for part in result.parts):
        raise WireError("chat completions, in which the model's provider is asked, can't say that a tool failed other than by text", result.at)
    return _content([part for part in result.parts if isinstance(part, Text)])


def _content(parts: Iterable[Part]) -> object:
    """One text as it is; several parts as a list."""
    made = [_part(part) for part in parts]
    if not made:
        return ""
    return made[0]["text"] if len(made) == 1 and made[0]["type"] == "text" else made


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Image):
        detail = part.detail.value if part.detail is not None else None
        return {"type": "image_url", "image_url": _without_none(url=part.blob.url, detail=detail)}
    if isinstance(part, File):
        if part.blob.media is None:
            judge(WRITES, "file_url", part.blob.at)
        return {"type": "file", "file": {"filename": part.name or _FILE_NAME, "file_data": part.blob.url}}
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    raise WireError("this part can't stand in such a message", part.at)
