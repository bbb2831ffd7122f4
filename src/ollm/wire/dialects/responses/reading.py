"""A client's request for a response, read for translation (OpenAI's OpenAPI document, CreateResponse)."""

from collections.abc import Mapping

import msgspec

from ollm.errors import WireError
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
_KEPT = "nothing is kept here: send the whole conversation with each request"
_HOSTED = "only OpenAI runs this tool: functions are what can be translated"
_OURS = "ids and states of earlier items mean nothing to others"
_CITED = "they tell of where an earlier answer came from"
_PADDING = "the provider's padding can't be carried over, and none is made here"
_CALLER = ({"type": "direct"},)

READS: Rules = {
    "model": Carried("model"),
    "stream": Carried("stream"),
    "instructions": Carried("turns", "the first message"),
    "input": Carried("turns", "`developer` counts as `system`"),
    "input[message].content[input_text].text": Carried("text"),
    "input[message].content[output_text].text": Carried("text"),
    "input[message].content[output_text].annotations": Dropped(_CITED),
    "input[message].content[output_text].logprobs": Dropped(_CITED),
    "input[message].content[refusal].refusal": Carried("refusal"),
    "input[message].content[input_image].image_url": Carried("image"),
    "input[message].content[input_image].detail": Carried("detail"),
    "input[message].content[input_image].file_id": Refused(_KEPT),
    "input[message].content[input_file].file_data": Carried("file"),
    "input[message].content[input_file].file_url": Carried("file_url"),
    "input[message].content[input_file].filename": Carried("file_name"),
    "input[message].content[input_file].file_id": Refused(_KEPT),
    "input[message].content[input_file].detail": Refused(_NOT_SAID, ("auto",)),
    "input[message].content[input_audio]": Refused(_NOT_SAID),
    "input[message].content[input_text].prompt_cache_breakpoint": Dropped(_CACHE),
    "input[message].content[input_image].prompt_cache_breakpoint": Dropped(_CACHE),
    "input[message].content[input_file].prompt_cache_breakpoint": Dropped(_CACHE),
    "input[message].id": Dropped(_OURS),
    "input[message].status": Dropped(_OURS),
    "input[message].phase": Dropped("whether an earlier message was the last word of its turn shows by what follows"),
    "input[function_call]": Carried("call"),
    "input[function_call].id": Dropped(_OURS),
    "input[function_call].status": Dropped(_OURS),
    "input[function_call].caller": Refused(_HOSTED, _CALLER),
    "input[function_call].namespace": Refused(_HOSTED),
    "input[function_call].async": Refused(_NOT_SAID, (False,)),
    "input[function_call_output].output": Carried("result"),
    "input[function_call_output].output[input_image]": Carried("result_image"),
    "input[function_call_output].output[input_file]": Refused(_NOT_SAID),
    "input[function_call_output].output[input_text].prompt_cache_breakpoint": Dropped(_CACHE),
    "input[function_call_output].output[input_image].prompt_cache_breakpoint": Dropped(_CACHE),
    "input[function_call_output].output[input_image].file_id": Refused(_KEPT),
    "input[function_call_output].id": Dropped(_OURS),
    "input[function_call_output].status": Dropped(_OURS),
    "input[function_call_output].name": Dropped("the call says it"),
    "input[function_call_output].caller": Refused(_HOSTED, _CALLER),
    "input[function_call_output].namespace": Refused(_HOSTED),
    "input[reasoning]": Dropped("reasoning of earlier turns, which only the model that wrote it can read"),
    "input[item_reference]": Refused(_KEPT),
    "input[compaction]": Refused(_NOT_SAID),
    "input[custom_tool_call]": Refused(_HOSTED),
    "input[custom_tool_call_output]": Refused(_HOSTED),
    "tools[function]": Carried("tool"),
    "tools[function].strict": Carried("strict"),
    "tools[function].allowed_callers": Refused(_HOSTED, (["direct"],)),
    "tools[function].defer_loading": Refused(_HOSTED, (False,)),
    "tools[function].async": Refused(_NOT_SAID, (False,)),
    "tools[function].output_schema": Refused(_NOT_SAID),
    "tools[custom]": Refused(_HOSTED),
    "tools[web_search]": Refused(_HOSTED),
    "tools[file_search]": Refused(_HOSTED),
    "tools[code_interpreter]": Refused(_HOSTED),
    "tools[image_generation]": Refused(_HOSTED),
    "tools[mcp]": Refused(_HOSTED),
    "tool_choice": Carried("choice"),
    "tool_choice[allowed_tools]": Refused("send only the tools that are allowed"),
    "parallel_tool_calls": Carried("parallel"),
    "max_tool_calls": Dropped("it counts the tools that OpenAI runs, of which there are none"),
    "max_output_tokens": Carried("limit"),
    "temperature": Carried("temperature"),
    "top_p": Carried("top_p"),
    "text.format[json_schema]": Carried("format"),
    "text.format[json_schema].description": Carried("format_description"),
    "text.format[json_object]": Carried("format_any"),
    "text.format[text]": Dropped("it is what comes without"),
    "text.verbosity": Carried("verbosity"),
    "reasoning.effort": Carried("effort"),
    "reasoning.summary": Dropped("the model's reasoning comes whole, where the provider shows it"),
    "reasoning.generate_summary": Dropped("the model's reasoning comes whole, where the provider shows it"),
    "reasoning.context": Refused(_NOT_SAID, ("auto",)),
    "reasoning.mode": Refused(_NOT_SAID, ("standard",)),
    "include": Refused(
        "of what can be included, the translation has only what needs none: reasoning.encrypted_content and results of tools that OpenAI runs are "
        "left out, since there are none"
    ),
    "service_tier": Carried("tier"),
    "prompt_cache_key": Carried("cache_key"),
    "prompt_cache_retention": Carried("cache_retention"),
    "prompt_cache_options": Carried("cache_options"),
    "safety_identifier": Carried("safety"),
    "user": Carried("user"),
    "stream_options.include_obfuscation": Refused(_PADDING, (False,)),
    "metadata": Dropped("it is repeated in the answer, which is where it belongs"),
    "store": Dropped("nothing is stored, whatever is asked"),
    "truncation": Refused(_NOT_SAID, ("disabled",)),
    "top_logprobs": Refused(_NOT_SAID, (0,)),
    "background": Refused("an answer that is fetched later would have to be kept until then: ask for it whole or streamed", (False,)),
    "previous_response_id": Refused(_KEPT),
    "conversation": Refused(_KEPT),
    "prompt": Refused(_KEPT),
    "context_management": Refused(_NOT_SAID),
    "moderation": Refused(_NOT_SAID),
}

_AS_IT_IS = {
    "prompt_cache_key": "cache_key",
    "prompt_cache_retention": "cache_retention",
    "prompt_cache_options": "cache_options",
    "safety_identifier": "safety",
    "user": "user",
}
_NUMBERS = {"max_output_tokens": "limit", "temperature": "temperature", "top_p": "top_p"}
_INCLUDED = frozenset(  # of what isn't there, or of tools that are refused
    {
        "reasoning.encrypted_content",
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
    }
)
_ROLES = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "assistant": ASSISTANT}


def read(members: Mapping[str, msgspec.Raw]) -> Conversation:
    """The request. Raises: WireError."""
    top = Fields(members, READS)
    for name in ("model", "stream"):
        top.raw(name)
    options = {name: Option(raw, member) for member, name in _AS_IT_IS.items() if (raw := top.raw(member)) is not None}
    options.update({name: Option(raw, member) for member, name in _NUMBERS.items() if (raw := top.numeral(member)) is not None})
    _wishes(top, options)
    conversation = Conversation(_turns(top), tuple(_tool(tool) for tool in top.objects("tools") or ()), options)
    top.end()
    return conversation


def _wishes(top: Fields, options: dict[str, Option]) -> None:
    for member, value in (("service_tier", top.text("service_tier")), ("parallel_tool_calls", top.flag("parallel_tool_calls"))):
        if value is not None:
            options["tier" if member == "service_tier" else "parallel"] = Option(value, member)
    _choice(top, options)
    if set(top.texts("include") or ()) - _INCLUDED:
        raise WireError("the model's provider can't be asked for what is to be included", "include")
    text = top.object("text")
    if text is not None:
        verbosity = text.text("verbosity")
        if verbosity is not None:
            options["verbosity"] = Option(verbosity, text.path("verbosity"))
        form = text.object("format")
        if form is not None:
            _form(form, options)
        text.end()
    reasoning = top.object("reasoning")
    if reasoning is not None:
        effort = reasoning.text("effort")
        if effort is not None:
            options["effort"] = Option(effort, reasoning.path("effort"))
        reasoning.end()
    stream_options = top.object("stream_options")
    if stream_options is not None:
        stream_options.end()


def _choice(top: Fields, options: dict[str, Option]) -> None:
    choice = None if top.is_text("tool_choice") else top.object("tool_choice")
    if choice is None:
        mode = top.text("tool_choice")
        if mode not in {None, "auto", "none", "required"}:
            raise top.wrong("tool_choice", "must be auto, none, required or a function")
        if mode is not None:
            options["choice"] = Option(Choice(mode), "tool_choice")
        return
    if choice.kind() != "function":
        raise choice.refuse()
    options["choice"] = Option(Choice("tool", choice.need("name")), "tool_choice")
    choice.end()


def _form(form: Fields, options: dict[str, Option]) -> None:
    kind = form.kind()
    if kind == "json_object":
        options["format_any"] = Option(Format(None), form.at)
    elif kind == "json_schema":
        if not form.has("schema"):
            raise form.wrong("schema", "is required")
        description = form.text("description")
        if description is not None:
            options["format_description"] = Option(description, form.path("description"))
        options["format"] = Option(Format(form.raw("schema"), form.text("name"), description, form.flag("strict")), form.at)
    elif kind != "text":
        raise form.refuse()
    form.end()


def _tool(tool: Fields) -> Tool:
    if tool.kind() != "function":
        raise tool.refuse()
    made = Tool(tool.need("name"), tool.text("description"), tool.raw("parameters"), tool.flag("strict"), tool.path("strict"))
    tool.end()
    return made


def _turns(top: Fields) -> tuple[Turn, ...]:
    """Turns, of which results that follow each other are one, and so are a message of the assistant and the calls behind it."""
    turns: list[Turn] = []
    instructions = top.text("instructions")
    if instructions is not None:
        turns.append(Turn(SYSTEM, (Text(instructions, "instructions"),), "instructions"))
    if top.is_text("input"):
        turns.append(Turn(USER, (Text(top.need("input"), "input"),), "input"))
        return tuple(turns)
    items = top.objects("input")
    if not items:
        raise top.wrong("input", "is required")
    for item in items:
        turn = _turn(item)
        last = turns[-1] if turns else None
        if turn is None:
            continue
        if last is not None and last.role == turn.role and turn.parts and isinstance(turn.parts[0], Call | Result) and _goes_on(last):
            turns[-1] = Turn(last.role, (*last.parts, *turn.parts), last.at)
        else:
            turns.append(turn)
    return tuple(turns)


def _goes_on(last: Turn) -> bool:
    """Whether a call or a result belongs to the turn before it: calls to whatever the assistant said, results to results."""
    return last.role == ASSISTANT or all(isinstance(part, Result) for part in last.parts)


def _turn(item: Fields) -> Turn | None:
    kind = item.kind("message")
    if kind == "reasoning":
        return None
    if kind == "message":
        role = item.need("role")
        if role not in _ROLES:
            raise item.wrong("role", "is none of user, assistant, system, developer")
        allowed = {"assistant": {"output_text", "refusal", "input_text"}, "user": {"input_text", "input_image", "input_file"}}
        turn = Turn(_ROLES[role], _content(item, "content", allowed.get(role, {"input_text"})), item.at)
    elif kind == "function_call":
        turn = Turn(ASSISTANT, (Call(item.need("call_id"), item.need("name"), item.need("arguments"), item.path("arguments")),), item.at)
    elif kind == "function_call_output":
        parts = _content(item, "output", {"input_text", "input_image"})
        kept = tuple(part for part in parts if isinstance(part, Text | Image))
        turn = Turn(USER, (Result(item.need("call_id"), kept, item.at),), item.at)
    else:
        raise item.refuse()
    item.end()
    return turn


def _content(item: Fields, name: str, allowed: set[str]) -> tuple[Part, ...]:
    if item.is_text(name):
        return (Text(item.need(name), item.path(name)),)
    parts = item.objects(name)
    if parts is None:
        raise item.wrong(name, "is required")
    return tuple(_part(part, allowed) for part in parts)


def _part(part: Fields, allowed: set[str]) -> Part:
    kind = part.kind()
    if kind not in allowed:
        raise part.refuse()
    made: Part
    if kind == "refusal":
        made = Refusal(part.need("refusal"), part.at)
    elif kind == "input_image":
        made = _image(part)
    elif kind == "input_file":
        made = _file(part)
    else:
        made = Text(part.need("text"), part.at)
    part.end()
    return made


def _image(part: Fields) -> Image:
    part.forbid("file_id")
    detail = part.text("detail")
    return Image(linked(part.need("image_url"), part.path("image_url")), Option(detail, part.path("detail")) if detail is not None else None)


def _file(part: Fields) -> File:
    part.forbid("file_id")
    data, url = part.text("file_data"), part.text("file_url")
    given = data if data is not None else url
    if given is None:
        raise part.wrong("file_data", "or file_url is required")
    blob = linked(given, part.path("file_url" if data is None else "file_data"))
    if (blob.media is None) is (data is not None):
        raise part.wrong("file_data", "must be a data URL, and file_url one of https:// or http://")
    return File(blob, part.text("filename"))
