"""A request put to a provider as one for a response (OpenAI's OpenAPI document, CreateResponse). Nothing is to be stored."""

from typing import Any

import msgspec

from ollm.errors import WireError
from ollm.wire.dialects.conversation import ASSISTANT, Call, Choice, Conversation, File, Format, Image, Part, Refusal, Result, Text, Turn
from ollm.wire.dialects.fields import Carried, Dropped, Refused, Rules, judge

_SCHEMA_NAME = "answer"  # of a schema without a name: OpenAI demands one
_FILE_NAME = "document.pdf"  # of a file's data without a name: demanded as well
_NOT_SAID = "Responses, in which the model's provider is asked, have nothing like this"
_encode = msgspec.json.Encoder().encode

WRITES: Rules = {
    "model": Carried("model", "the provider's name of the model"),
    "stream": Carried("stream"),
    "usage": Carried("", "a stream always has it"),
    "turns": Carried("input"),
    "text": Carried("input[].content"),
    "refusal": Carried("input[].content[]", "a part `refusal`"),
    "image": Carried("input[].content[].image_url"),
    "image_url": Carried("input[].content[].image_url"),
    "detail": Carried("input[].content[].detail"),
    "file": Carried("input[].content[].file_data"),
    "file_url": Carried("input[].content[].file_url"),
    "file_name": Carried("input[].content[].filename", f"`{_FILE_NAME}` where there is none"),
    "call": Carried("input[]", "an item `function_call`; the arguments byte for byte"),
    "result": Carried("input[]", "an item `function_call_output`"),
    "result_image": Carried("input[].output[].image_url"),
    "failed": Dropped("the content of the result, which says what failed, goes on; refused where it has none"),
    "tool": Carried("tools[]"),
    "strict": Carried("tools[].strict", "false where it isn't set: without it, Responses would be strict"),
    "choice": Carried("tool_choice"),
    "parallel": Carried("parallel_tool_calls"),
    "limit": Carried("max_output_tokens"),
    "temperature": Carried("temperature"),
    "top_p": Carried("top_p"),
    "stop": Refused(_NOT_SAID),
    "effort": Carried("reasoning.effort"),
    "format": Carried("text.format", f"`json_schema`; its name is `{_SCHEMA_NAME}` where there is none"),
    "format_description": Carried("text.format.description"),
    "format_any": Carried("text.format", "`json_object`"),
    "verbosity": Carried("text.verbosity"),
    "tier": Carried("service_tier"),
    "cache_key": Carried("prompt_cache_key"),
    "cache_retention": Carried("prompt_cache_retention"),
    "cache_options": Carried("prompt_cache_options"),
    "safety": Carried("safety_identifier"),
    "user": Carried("user"),
}


def ask(conversation: Conversation, model: str, stream: bool) -> bytes:
    """The body. Raises: WireError for what can't be said, by the client's word for it."""
    body: dict[str, Any] = {
        "model": model,
        "input": [item for index, turn in enumerate(conversation.turns) for item in _items(turn, index)],
        "store": False,
    }
    for name, option in conversation.options.items():
        member = judge(WRITES, name, option.at)
        if member is not None and name != "format_description":
            outer, _, inner = member.partition(".")
            if inner:
                body.setdefault(outer, {})[inner] = _value(option.value)
            else:
                body[outer] = _value(option.value)
    if conversation.tools:
        body["tools"] = [
            {"type": "function", "name": t.name, "parameters": t.schema, "strict": bool(t.strict)}
            | ({"description": t.description} if t.description is not None else {})
            for t in conversation.tools
        ]
    if stream:
        body["stream"] = True
    return _encode(body)


def _value(value: object) -> object:
    if isinstance(value, Choice):
        return value.mode if value.tool is None else {"type": "function", "name": value.tool}
    if isinstance(value, Format):
        if value.schema is None:
            return {"type": "json_object"}
        made = {"type": "json_schema", "name": value.name or _SCHEMA_NAME, "schema": value.schema, "strict": bool(value.strict)}
        return made if value.description is None else {**made, "description": value.description}
    return value


def _items(turn: Turn, index: int) -> list[dict[str, Any]]:
    """Items of one turn: messages of what stands between calls and results."""
    items: list[dict[str, Any]] = []
    said: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Call | Result):
            items += _message(turn.role, said, f"msg_{index}_{len(items)}")
            said = []
            items.append(_call(part) if isinstance(part, Call) else _result(part))
        else:
            said.append(part)
    return items + _message(turn.role, said if said or items else [Text("")], f"msg_{index}_{len(items)}")


def _message(role: str, parts: list[Part], id: str) -> list[dict[str, Any]]:
    """A message of `parts`, if there are any. The assistant's in parts must have an id and a status; in one text it is like the others."""
    if not parts:
        return []
    message: dict[str, Any] = {"type": "message", "role": role}
    if role != ASSISTANT:
        return [{**message, "content": [_part(part) for part in parts]}]
    only = parts[0] if len(parts) == 1 else None
    if isinstance(only, Text):
        return [{**message, "content": only.text}]
    return [{**message, "id": id, "status": "completed", "content": [_said(part) for part in parts]}]


def _call(call: Call) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _result(result: Result) -> dict[str, Any]:
    if result.failed and not any(not isinstance(part, Text) or part.text for part in result.parts):
        raise WireError("Responses, in which the model's provider is asked, can't say that a tool failed other than by its result", result.at)
    only = result.parts[0] if len(result.parts) == 1 else None
    output: object = only.text if isinstance(only, Text) else [_part(part) for part in result.parts]
    return {"type": "function_call_output", "call_id": result.call, "output": output or ""}


def _said(part: Part) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Text):
        return {"type": "output_text", "text": part.text, "annotations": []}
    raise WireError("this part can't stand in a message of the assistant's", part.at)


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.blob.url, "detail": part.detail.value if part.detail is not None else "auto"}
    if isinstance(part, File):
        name = {"filename": part.name} if part.name is not None else {}
        if part.blob.media is None:
            return {"type": "input_file", "file_url": part.blob.data, **name}
        return {"type": "input_file", "file_data": part.blob.url, "filename": part.name or _FILE_NAME}
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    raise WireError("this part can't stand in such a message", part.at)
