"""A request put to a provider as one for a message (Anthropic's Messages API)."""

from typing import Any

import msgspec

from ollm.errors import WireError
from ollm.wire.dialects.conversation import (
    ASSISTANT,
    SYSTEM,
    USER,
    Blob,
    Call,
    Choice,
    Conversation,
    File,
    Format,
    Image,
    Part,
    Result,
    Text,
    Turn,
    checked_object,
)
from ollm.wire.dialects.fields import Carried, Dropped, Option, Refused, Rules, judge

# Messages demand a limit, chat completions and Responses don't. Where neither the client nor the configuration names one, it is the most that every
# Claude model since 3.5 will write. Newer ones write several times as much (https://docs.claude.com/en/docs/about-claude/models/overview), but a
# limit beyond the model's is refused, and one below shows in the answer: it ends with `length`.
DEFAULT_LIMIT = 8192

_NOT_SAID = "Messages, in which the model's provider is asked, have nothing like this"
_CACHE = "providers cache by themselves; the answer is the same"
_WHOSE = "whose request it is changes no answer, and is nobody else's business"
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_MODES = {"auto": "auto", "required": "any", "none": "none"}
_TIERS = {"auto": "auto", "default": "standard_only"}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_NO_PARAMETERS = {"type": "object", "properties": {}}
_encode = msgspec.json.Encoder().encode

WRITES: Rules = {
    "model": Carried("model", "the provider's name of the model"),
    "stream": Carried("stream"),
    "usage": Carried("", "a stream always has it"),
    "turns": Carried("messages", "instructions at the beginning become `system`; results of tools and what the user says next become one message"),
    "text": Carried("messages[].content"),
    "refusal": Carried("messages[].content", "as text"),
    "image": Carried("messages[].content[].source", "JPEG, PNG, GIF and WebP, or a URL"),
    "image_url": Carried("messages[].content[].source"),
    "detail": Refused(_NOT_SAID, ("auto",)),
    "file": Carried("messages[].content[].source", "PDF"),
    "file_url": Carried("messages[].content[].source", "PDF"),
    "file_name": Carried("messages[].content[].title"),
    "call": Carried("messages[].content[]", "a block `tool_use`; the arguments must be a JSON object, and go on byte for byte"),
    "result": Carried("messages[].content[]", "a block `tool_result`"),
    "result_image": Carried("messages[].content[].content[].source"),
    "failed": Carried("messages[].content[].is_error"),
    "tool": Carried("tools[]"),
    "strict": Carried("tools[].strict"),
    "choice": Carried("tool_choice", "`required` is `any`"),
    "parallel": Carried("tool_choice.disable_parallel_tool_use"),
    "limit": Carried("max_tokens", f"where there is none, the model's `max_output`, or {DEFAULT_LIMIT}"),
    "temperature": Carried("temperature", "refused above 1"),
    "top_p": Carried("top_p"),
    "stop": Carried("stop_sequences"),
    "effort": Carried("output_config.effort", "`none` is `thinking: disabled`; `minimal` is refused"),
    "format": Carried("output_config.format", "strict, whatever was asked; its name is left out"),
    "format_description": Refused("Messages, in which the model's provider is asked, have no description of a schema: put it into the schema"),
    "format_any": Refused("Messages, in which the model's provider is asked, have no JSON mode without a schema"),
    "verbosity": Refused(_NOT_SAID),
    "tier": Carried("service_tier", "`default` is `standard_only`; others are refused"),
    "cache_key": Dropped(_CACHE),
    "cache_retention": Dropped(_CACHE),
    "cache_options": Dropped(_CACHE),
    "safety": Dropped(_WHOSE),
    "user": Dropped(_WHOSE),
}


def ask(conversation: Conversation, model: str, stream: bool) -> bytes:
    """The body. Raises: WireError for what can't be said, by the client's word for it."""
    turns = list(conversation.turns)
    system: list[dict[str, Any]] = []
    while turns and turns[0].role == SYSTEM:
        system += _blocks(turns.pop(0).parts)
    messages = _messages(turns)
    body: dict[str, Any] = {"model": model, "max_tokens": conversation.value("limit") or conversation.most or DEFAULT_LIMIT, "messages": messages}
    if system:
        body["system"] = system
    for name, option in conversation.options.items():
        if judge(WRITES, name, option.at) is not None:
            _set(body, name, option)
    if conversation.tools:
        body["tools"] = [
            {"name": t.name, "input_schema": t.schema or _NO_PARAMETERS}
            | ({"description": t.description} if t.description is not None else {})
            | ({"strict": t.strict} if t.strict is not None else {})
            for t in conversation.tools
        ]
        _choose(body, conversation)
    elif isinstance(choice := conversation.value("choice"), Choice) and choice.mode not in {"auto", "none"}:
        raise WireError("a tool can't be demanded where there is none", conversation.options["choice"].at)
    if stream:
        body["stream"] = True
    return _encode(body)


def _set(body: dict[str, Any], name: str, option: Option) -> None:
    """Put a setting into `body`, except for what stands elsewhere. Raises: WireError for a value that can't be said."""
    value = option.value
    if name == "temperature" and msgspec.json.decode(value, type=float) > 1:
        raise WireError("temperature goes from 0 to 1 in Messages, in which the model's provider is asked", option.at)
    if name == "tier" and value not in _TIERS:
        raise WireError("Messages, in which the model's provider is asked, know service_tier auto and default only", option.at)
    if name == "effort":
        _effort(body, option)
    elif name == "format":
        schema = value.schema if isinstance(value, Format) else None
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    elif name in {"temperature", "top_p"}:
        body[name] = value
    elif name == "stop":
        body["stop_sequences"] = value
    elif name == "tier":
        body["service_tier"] = _TIERS[value]


def _effort(body: dict[str, Any], option: Option) -> None:
    if option.value == "none":
        body["thinking"] = {"type": "disabled"}
    elif option.value in _EFFORTS:
        body.setdefault("output_config", {})["effort"] = option.value
    else:
        raise WireError("Messages, in which the model's provider is asked, don't know this effort", option.at)


def _choose(body: dict[str, Any], conversation: Conversation) -> None:
    choice = conversation.value("choice")
    made: dict[str, Any] | None = None
    if isinstance(choice, Choice):
        made = {"type": _MODES[choice.mode]} if choice.tool is None else {"type": "tool", "name": choice.tool}
    if conversation.value("parallel") is False and (made is None or made["type"] != "none"):
        made = {**(made or {"type": "auto"}), "disable_parallel_tool_use": True}
    if made is not None:
        body["tool_choice"] = made


def _messages(turns: list[Turn]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    answered = False  # the message before has results of tools: what the user says next belongs to it
    for turn in turns:
        blocks = _blocks(turn.parts)
        if not blocks:
            continue  # nothing was said, and Messages refuse an empty message
        if turn.role == USER and answered:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": turn.role, "content": blocks})
        answered = turn.role == USER and (answered or any(isinstance(part, Result) for part in turn.parts))
    if not messages:
        raise WireError("Messages, in which the model's provider is asked, need one of the user's", "messages")
    if messages[-1]["role"] == ASSISTANT:
        raise WireError("the last one is the assistant's: the model's provider would go on with it instead of answering", turns[-1].at)
    return messages


def _blocks(parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    """Blocks of content; empty texts, which Messages refuse, left out."""
    return [_block(part) for part in parts if not isinstance(part, Text) or part.text]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        if part.detail is not None and part.detail.value != "auto":
            judge(WRITES, "detail", part.detail.at)
        return {"type": "image", "source": _source(part.blob, _IMAGES)}
    if isinstance(part, File):
        block = {"type": "document", "source": _source(part.blob, frozenset({"application/pdf"}))}
        return block if part.name is None else {**block, "title": part.name}
    if isinstance(part, Call):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": checked_object(part.arguments, part.at)}
    if isinstance(part, Result):
        result = {"type": "tool_result", "tool_use_id": part.call, "content": _blocks(part.parts)}
        return {**result, "is_error": True} if part.failed else result
    return {"type": "text", "text": part.text}


def _source(blob: Blob, media: frozenset[str]) -> dict[str, Any]:
    if blob.media is None:
        return {"type": "url", "url": blob.data}
    if blob.media not in media:
        raise WireError("Messages, in which the model's provider is asked, don't take data of this type", blob.at)
    return {"type": "base64", "media_type": blob.media, "data": blob.data}
