"""A client's chat completion request, read for translation (OpenAI's OpenAPI document, CreateChatCompletionRequest)."""

from collections.abc import Mapping

import msgspec

from ollm.wire.dialects.conversation import (
    ASSISTANT,
    SYSTEM,
    USER,
    Call,
    Choice,
    Conversation,
    File,
    Format,
    Image,
    Part,
    Refusal,
    Result,
    Text,
    Tool,
    Turn,
    linked,
)
from ollm.wire.dialects.fields import Carried, Dropped, Fields, Option, Refused, Rules

_NOT_SAID = "the model's provider is asked through an API that has nothing like this"
_CACHE = "providers cache by themselves; the answer is the same"
_FILE_ID = "nothing is kept here that an id could name: send the data itself"
_OLD = "functions are tools by now: use tools, tool_choice and tool_calls"
_PADDING = "the provider's padding can't be carried over, and none is made here"

READS: Rules = {
    "model": Carried("model"),
    "stream": Carried("stream"),
    "messages": Carried("turns", "`developer` counts as `system`"),
    "messages.content[text].text": Carried("text"),
    "messages.content[image_url].image_url.url": Carried("image"),
    "messages.content[image_url].image_url.detail": Carried("detail"),
    "messages.content[file].file.file_data": Carried("file"),
    "messages.content[file].file.filename": Carried("file_name"),
    "messages.content[refusal].refusal": Carried("refusal"),
    "messages.refusal": Carried("refusal"),
    "messages.tool_calls[function]": Carried("call"),
    "messages.tool_call_id": Carried("result"),
    "messages.content[file].file.file_id": Refused(_FILE_ID),
    "messages.content[input_audio]": Refused(_NOT_SAID),
    "messages.content[text].prompt_cache_breakpoint": Dropped(_CACHE),
    "messages.content[image_url].prompt_cache_breakpoint": Dropped(_CACHE),
    "messages.content[file].prompt_cache_breakpoint": Dropped(_CACHE),
    "messages.name": Refused(_NOT_SAID),
    "messages.audio": Refused(_NOT_SAID),
    "messages.annotations": Dropped("they tell of where an earlier answer came from"),
    "messages.function_call": Refused(_OLD),
    "messages.reasoning": Dropped("reasoning of earlier turns, which a model does without"),
    "messages.reasoning_content": Dropped("reasoning of earlier turns, which a model does without"),
    "messages.tool_calls[custom]": Refused(_NOT_SAID),
    "messages.tool_calls[function].index": Dropped("the place in the list says it"),
    "tools[function].function": Carried("tool"),
    "tools[function].function.strict": Carried("strict"),
    "tools[custom]": Refused(_NOT_SAID),
    "tool_choice": Carried("choice"),
    "tool_choice[allowed_tools]": Refused("send only the tools that are allowed"),
    "tool_choice[custom]": Refused(_NOT_SAID),
    "parallel_tool_calls": Carried("parallel"),
    "max_completion_tokens": Carried("limit"),
    "max_tokens": Carried("limit", "or `max_completion_tokens`, not both"),
    "temperature": Carried("temperature"),
    "top_p": Carried("top_p"),
    "stop": Carried("stop"),
    "reasoning_effort": Carried("effort"),
    "response_format[json_schema]": Carried("format"),
    "response_format[json_schema].json_schema.description": Carried("format_description"),
    "response_format[json_object]": Carried("format_any"),
    "response_format[text]": Dropped("it is what comes without"),
    "verbosity": Carried("verbosity"),
    "service_tier": Carried("tier"),
    "prompt_cache_key": Carried("cache_key"),
    "prompt_cache_retention": Carried("cache_retention"),
    "prompt_cache_options": Carried("cache_options"),
    "safety_identifier": Carried("safety"),
    "user": Carried("user"),
    "stream_options.include_usage": Carried("usage"),
    "stream_options.include_obfuscation": Refused(_PADDING, (False,)),
    "metadata": Dropped("it belongs to stored completions, and none is stored"),
    "store": Dropped("nothing is stored, whatever is asked"),
    "prediction": Dropped("it makes answers come faster, not others"),
    "n": Refused("the model's provider is asked through an API that gives one answer at a time", (1,)),
    "frequency_penalty": Refused(_NOT_SAID, (0,)),
    "presence_penalty": Refused(_NOT_SAID, (0,)),
    "logit_bias": Refused(_NOT_SAID, ({},)),
    "logprobs": Refused(_NOT_SAID, (False,)),
    "top_logprobs": Refused(_NOT_SAID, (0,)),
    "seed": Refused(_NOT_SAID),
    "modalities": Refused("the model's provider is asked through an API that answers in text alone", (["text"],)),
    "audio": Refused(_NOT_SAID),
    "moderation": Refused(_NOT_SAID),
    "web_search_options": Refused(_NOT_SAID),
    "functions": Refused(_OLD),
    "function_call": Refused(_OLD),
}

_AS_IT_IS = {
    "verbosity": "verbosity",
    "prompt_cache_key": "cache_key",
    "prompt_cache_retention": "cache_retention",
    "prompt_cache_options": "cache_options",
    "safety_identifier": "safety",
    "user": "user",
}
_ROLES = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": USER}
_PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}


def read(members: Mapping[str, msgspec.Raw]) -> Conversation:
    """The request. Raises: WireError."""
    top = Fields(members, READS)
    for name in ("model", "stream"):
        top.raw(name)
    options = {name: Option(raw, member) for member, name in _AS_IT_IS.items() if (raw := top.raw(member)) is not None}
    options.update({name: Option(raw, name) for name in ("temperature", "top_p") if (raw := top.numeral(name)) is not None})
    _limit(top, options)
    _wishes(top, options)
    stream_options = top.object("stream_options")
    if stream_options is not None:
        stream_options.raw("include_usage")
        stream_options.end()
    conversation = Conversation(_turns(top), _tools(top), options)
    top.end()
    return conversation


def _limit(top: Fields, options: dict[str, Option]) -> None:
    newer, older = top.numeral("max_completion_tokens"), top.numeral("max_tokens")
    if newer is not None and older is not None and bytes(newer) != bytes(older):
        raise top.wrong("max_tokens", "contradicts max_completion_tokens")
    if newer is not None:
        options["limit"] = Option(newer, "max_completion_tokens")
    elif older is not None:
        options["limit"] = Option(older, "max_tokens")


def _wishes(top: Fields, options: dict[str, Option]) -> None:
    values = {
        "stop": ("stop", [top.text("stop")] if top.is_text("stop") else top.texts("stop")),
        "reasoning_effort": ("effort", top.text("reasoning_effort")),
        "service_tier": ("tier", top.text("service_tier")),
        "parallel_tool_calls": ("parallel", top.flag("parallel_tool_calls")),
        "tool_choice": ("choice", _choice(top)),
    }
    options.update({name: Option(value, member) for member, (name, value) in values.items() if value is not None})
    form = top.object("response_format")
    if form is not None:
        _form(form, options)


def _form(form: Fields, options: dict[str, Option]) -> None:
    kind = form.kind()
    if kind == "json_object":
        options["format_any"] = Option(Format(None), form.at)
    elif kind == "json_schema":
        schema = form.object("json_schema")
        if schema is None or not schema.has("schema"):
            raise form.wrong("json_schema", "must have a schema")
        if schema.has("description"):
            options["format_description"] = Option(schema.need("description"), schema.path("description"))
        options["format"] = Option(Format(schema.raw("schema"), schema.text("name"), schema.text("description"), schema.flag("strict")), form.at)
        schema.end()
    elif kind != "text":
        raise form.refuse()
    form.end()


def _choice(top: Fields) -> Choice | None:
    choice = None if top.is_text("tool_choice") else top.object("tool_choice")
    if choice is None:
        mode = top.text("tool_choice")
        if mode not in {None, "auto", "none", "required"}:
            raise top.wrong("tool_choice", "must be auto, none, required or a tool")
        return Choice(mode) if mode is not None else None
    function = choice.object("function") if choice.kind() == "function" else None
    if function is None:
        raise choice.refuse()
    named = Choice("tool", function.need("name"))
    function.end()
    choice.end()
    return named


def _tools(top: Fields) -> tuple[Tool, ...]:
    tools = []
    for tool in top.objects("tools") or ():
        function = tool.object("function") if tool.kind() == "function" else None
        if function is None:
            raise tool.refuse()
        tools.append(
            Tool(function.need("name"), function.text("description"), function.raw("parameters"), function.flag("strict"), function.path("strict"))
        )
        function.end()
        tool.end()
    return tuple(tools)


def _turns(top: Fields) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    after_tool = False
    for message in top.objects("messages") or ():
        role = message.need("role")
        if role not in _ROLES:
            raise message.wrong("role", "is none of system, developer, user, assistant, tool")
        parts = _content(message, role)
        if role == "assistant":
            parts += _said(message)
        elif role == "tool":
            parts = (Result(message.need("tool_call_id"), tuple(part for part in parts if isinstance(part, Text)), message.at),)
        message.end()
        if role == "tool" and after_tool:
            turns[-1] = Turn(USER, (*turns[-1].parts, *parts), turns[-1].at)
        else:
            turns.append(Turn(_ROLES[role], parts, message.at))
        after_tool = role == "tool"
    if not turns:
        raise top.wrong("messages", "is required")
    return tuple(turns)


def _content(message: Fields, role: str) -> tuple[Part, ...]:
    if not message.has("content") or message.is_text("content"):
        text = message.text("content")
        return (Text(text, message.path("content")),) if text is not None else ()
    return tuple(_part(part, role) for part in message.objects("content") or ())


def _part(part: Fields, role: str) -> Part:
    kind = part.kind()
    if kind not in _PARTS[role]:
        raise part.refuse()
    made: Part
    if kind == "text":
        made = Text(part.need("text"), part.at)
    elif kind == "refusal":
        made = Refusal(part.need("refusal"), part.at)
    else:
        inner = part.object(kind)
        if inner is None:
            raise part.wrong(kind, "is required")
        if kind == "image_url":
            detail = inner.text("detail")
            made = Image(linked(inner.need("url"), inner.path("url")), Option(detail, inner.path("detail")) if detail is not None else None)
        else:
            made = _file(inner)
        inner.end()
    part.end()
    return made


def _file(file: Fields) -> File:
    file.forbid("file_id")
    return File(linked(file.need("file_data"), file.path("file_data")), file.text("filename"))


def _said(message: Fields) -> tuple[Part, ...]:
    """What an assistant's message has beside its content."""
    parts: list[Part] = []
    refusal = message.text("refusal")
    if refusal is not None:
        parts.append(Refusal(refusal, message.path("refusal")))
    for call in message.objects("tool_calls") or ():
        function = call.object("function") if call.kind("function") == "function" else None
        if function is None:
            raise call.refuse()
        parts.append(Call(call.need("id"), function.need("name"), function.need("arguments"), function.path("arguments")))
        function.end()
        call.end()
    return tuple(parts)
