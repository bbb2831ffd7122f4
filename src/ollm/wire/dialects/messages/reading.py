"""A client's request for a message, read for translation (Anthropic's Messages API)."""

from collections.abc import Mapping

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
    Tool,
    Turn,
    linked,
)
from ollm.wire.dialects.fields import Carried, Dropped, Fields, Option, Refused, Rules

_NOT_SAID = "the model's provider is asked through an API that has nothing like this"
_CACHE = "providers cache by themselves; the answer is the same"
_FILE_ID = "nothing is kept here that an id could name: send the data itself"
_ANTHROPICS = "only Anthropic's own models have this tool or its results"
_ELSEWHERE = "only Anthropic can do this, and the model's provider is another"
_THINKING = "reasoning of earlier turns, which only the model that wrote it can read"
_CITED = "the model's provider can't be asked to cite"

READS: Rules = {
    "model": Carried("model"),
    "stream": Carried("stream"),
    "system": Carried("turns", "the first message"),
    "system[text].citations": Refused(_CITED),
    "system[text].cache_control": Dropped(_CACHE),
    "messages": Carried("turns", "the last one must not be the assistant's: others don't go on with a turn that was begun"),
    "messages.content[text].text": Carried("text"),
    "messages.content[text].citations": Dropped("they tell of where an earlier answer came from"),
    "messages.content[text].cache_control": Dropped(_CACHE),
    "messages.content[image].source[base64]": Carried("image"),
    "messages.content[image].source[url]": Carried("image_url"),
    "messages.content[image].source[file]": Refused(_FILE_ID),
    "messages.content[image].transformations": Refused(_ELSEWHERE),
    "messages.content[image].cache_control": Dropped(_CACHE),
    "messages.content[document].source[base64]": Carried("file"),
    "messages.content[document].source[url]": Carried("file_url"),
    "messages.content[document].source[text]": Carried("text", "where the document has neither title nor context"),
    "messages.content[document].source[content]": Refused(_NOT_SAID),
    "messages.content[document].source[file]": Refused(_FILE_ID),
    "messages.content[document].title": Carried("file_name", "refused for a document of plain text"),
    "messages.content[document].context": Refused(_NOT_SAID),
    "messages.content[document].citations": Refused(_CITED, ({"enabled": False},)),
    "messages.content[document].cache_control": Dropped(_CACHE),
    "messages.content[search_result]": Refused(_NOT_SAID),
    "messages.content[thinking]": Dropped(_THINKING),
    "messages.content[redacted_thinking]": Dropped(_THINKING),
    "messages.content[tool_use]": Carried("call", "its input becomes the text of the arguments, byte for byte"),
    "messages.content[tool_use].caller": Refused(_ANTHROPICS, ({"type": "direct"},)),
    "messages.content[tool_use].toolset_name": Refused(_ANTHROPICS),
    "messages.content[tool_use].cache_control": Dropped(_CACHE),
    "messages.content[tool_result]": Carried("result"),
    "messages.content[tool_result].content[image]": Carried("result_image"),
    "messages.content[tool_result].content[document]": Refused(_NOT_SAID),
    "messages.content[tool_result].content[search_result]": Refused(_NOT_SAID),
    "messages.content[tool_result].content[tool_reference]": Refused(_ANTHROPICS),
    "messages.content[tool_result].content[text].cache_control": Dropped(_CACHE),
    "messages.content[tool_result].content[text].citations": Dropped("they tell of where an earlier answer came from"),
    "messages.content[tool_result].content[image].cache_control": Dropped(_CACHE),
    "messages.content[tool_result].content[image].transformations": Refused(_ELSEWHERE),
    "messages.content[tool_result].content[image].source[file]": Refused(_FILE_ID),
    "messages.content[tool_result].is_error": Carried("failed"),
    "messages.content[tool_result].toolset_name": Refused(_ANTHROPICS),
    "messages.content[tool_result].cache_control": Dropped(_CACHE),
    "messages.content[server_tool_use]": Refused(_ANTHROPICS),
    "messages.content[web_search_tool_result]": Refused(_ANTHROPICS),
    "messages.content[container_upload]": Refused(_ANTHROPICS),
    "max_tokens": Carried("limit"),
    "temperature": Carried("temperature"),
    "top_p": Carried("top_p"),
    "top_k": Refused("neither chat completions nor Responses, in which the model's provider is asked, can say this"),
    "stop_sequences": Carried("stop", "which one was met is told where the provider tells it (vLLM, SGLang); otherwise it is `end_turn`"),
    "tools": Carried("tool"),
    "tools.strict": Carried("strict"),
    "tools.type": Refused(_ANTHROPICS, ("custom",)),
    "tools.cache_control": Dropped(_CACHE),
    "tools.eager_input_streaming": Dropped("how finely a stream is cut changes no answer"),
    "tools.allowed_callers": Refused(_ANTHROPICS, (["direct"],)),
    "tools.defer_loading": Refused(_ANTHROPICS, (False,)),
    "tools.input_examples": Refused(_NOT_SAID, ([],)),
    "tool_choice": Carried("choice", "`any` is `required`"),
    "tool_choice.disable_parallel_tool_use": Carried("parallel"),
    "output_config.effort": Carried("effort"),
    "output_config.format": Carried("format", "strict"),
    "thinking[adaptive]": Dropped("the model decides, as it does without"),
    "thinking[disabled]": Carried("effort", "`none`; refused beside `output_config.effort`"),
    "thinking[enabled]": Refused("the model's provider can't be given a budget of tokens for reasoning: use output_config.effort"),
    "thinking[between_tools]": Refused(_ELSEWHERE),
    "thinking[adaptive].display": Refused("reasoning that the model's provider shows can't be left out of the answer", ("summarized",)),
    "service_tier": Carried("tier", "`standard_only` is `default`"),
    "metadata": Dropped("whose request it is changes no answer, and is nobody else's business"),
    "cache_control": Dropped(_CACHE),
    "speed": Refused(_ELSEWHERE, ("standard",)),
    "container": Refused(_ELSEWHERE),
    "context_management": Refused(_ELSEWHERE),
    "diagnostics": Refused(_ELSEWHERE),
    "inference_geo": Refused(_ELSEWHERE),
    "mcp_servers": Refused(_ELSEWHERE),
    "user_profile_id": Refused(_ELSEWHERE),
    "workspace_id": Refused(_ELSEWHERE),
}

_ROLES = {"user": USER, "assistant": ASSISTANT, "system": SYSTEM}
_MODES = {"auto": "auto", "any": "required", "none": "none"}
_TIERS = {"auto": "auto", "standard_only": "default"}


def read(members: Mapping[str, msgspec.Raw]) -> Conversation:
    """The request. Raises: WireError."""
    top = Fields(members, READS)
    for name in ("model", "stream"):
        top.raw(name)
    limit = top.numeral("max_tokens")
    if limit is None:
        raise top.wrong("max_tokens", "is required")
    options = {"limit": Option(limit, "max_tokens")}
    options.update({name: Option(raw, name) for name in ("temperature", "top_p") if (raw := top.numeral(name)) is not None})
    stop = top.texts("stop_sequences")
    if stop:
        options["stop"] = Option(stop, "stop_sequences")
    _effort(top, options)
    _choice(top, options)
    tier = top.text("service_tier")
    if tier is not None and tier not in _TIERS:
        raise top.wrong("service_tier", "must be auto or standard_only")
    if tier is not None:
        options["tier"] = Option(_TIERS[tier], "service_tier")
    conversation = Conversation((*_system(top), *_turns(top)), tuple(_tool(tool) for tool in top.objects("tools") or ()), options)
    top.end()
    return conversation


def _effort(top: Fields, options: dict[str, Option]) -> None:
    output = top.object("output_config")
    if output is not None:
        effort = output.text("effort")
        if effort is not None:
            options["effort"] = Option(effort, output.path("effort"))
        form = output.object("format")
        if form is not None:
            if form.text("type") != "json_schema" or not form.has("schema"):
                raise form.wrong("schema", "is required, and json_schema is the only type")
            options["format"] = Option(Format(form.raw("schema"), strict=True), form.at)
            form.end()
        output.end()
    thinking = top.object("thinking")
    if thinking is not None:
        kind = thinking.kind()
        if kind == "disabled" and "effort" not in options:
            options["effort"] = Option("none", thinking.at)
        elif kind == "disabled":
            raise thinking.wrong("type", "contradicts output_config.effort")
        elif kind != "adaptive":
            raise thinking.refuse()
        thinking.end()


def _choice(top: Fields, options: dict[str, Option]) -> None:
    choice = top.object("tool_choice")
    if choice is None:
        return
    kind = choice.need("type")
    if kind == "tool":
        options["choice"] = Option(Choice("tool", choice.need("name")), choice.at)
    elif kind in _MODES:
        options["choice"] = Option(Choice(_MODES[kind]), choice.at)
    else:
        raise choice.wrong("type", "must be auto, any, none or tool")
    if choice.flag("disable_parallel_tool_use"):
        options["parallel"] = Option(False, choice.path("disable_parallel_tool_use"))
    choice.end()


def _tool(tool: Fields) -> Tool:
    if tool.text("type") not in {None, "custom"}:
        raise WireError(_ANTHROPICS, tool.path("type"))
    made = Tool(tool.need("name"), tool.text("description"), tool.raw("input_schema"), tool.flag("strict"), tool.path("strict"))
    tool.end()
    return made


def _system(top: Fields) -> tuple[Turn, ...]:
    parts = _content(top, "system", {"text"})
    return (Turn(SYSTEM, parts, "system"),) if parts else ()


def _turns(top: Fields) -> list[Turn]:
    turns = []
    for message in top.objects("messages") or ():
        role = message.need("role")
        if role not in _ROLES:
            raise message.wrong("role", "is none of user, assistant, system")
        allowed = {"assistant": {"text", "thinking", "redacted_thinking", "tool_use"}, "system": {"text"}}
        turns.append(Turn(_ROLES[role], _content(message, "content", allowed.get(role, {"text", "image", "document", "tool_result"})), message.at))
        message.end()
    if not turns:
        raise top.wrong("messages", "is required")
    if turns[-1].role == ASSISTANT:
        raise top.wrong("messages", "end with the assistant's, which the model's provider can't be made to go on with")
    return turns


def _content(holder: Fields, name: str, allowed: set[str]) -> tuple[Part, ...]:
    if holder.is_text(name) or not holder.has(name):
        text = holder.text(name)
        return (Text(text, holder.path(name)),) if text is not None else ()
    made = [_part(block, allowed) for block in holder.objects(name) or ()]
    return tuple(part for part in made if part is not None)


def _part(block: Fields, allowed: set[str]) -> Part | None:
    kind = block.kind()
    if kind not in allowed:
        raise block.refuse()
    if kind in {"thinking", "redacted_thinking"}:
        return None
    made: Part
    if kind == "text":
        made = Text(block.need("text"), block.at)
    elif kind == "image":
        made = Image(_blob(*_source(block)))
    elif kind == "document":
        made = _document(block)
    elif kind == "tool_use":
        made = _call(block)
    else:
        parts = _content(block, "content", {"text", "image"})
        kept = tuple(part for part in parts if isinstance(part, Text | Image))
        made = Result(block.need("tool_use_id"), kept, block.at, failed=bool(block.flag("is_error")))
    block.end()
    return made


def _call(block: Fields) -> Call:
    given = block.raw("input")
    if given is None or bytes(given)[:1] != b"{":
        raise block.wrong("input", "must be an object")
    return Call(block.need("id"), block.need("name"), bytes(given).decode(), block.at)


def _source(block: Fields) -> tuple[str, Fields]:
    source = block.object("source")
    if source is None:
        raise block.wrong("source", "is required")
    return source.kind(), source


def _blob(kind: str, source: Fields) -> Blob:
    if kind not in {"base64", "url"}:
        raise source.refuse()
    if kind == "url":
        blob = linked(source.need("url"), source.path("url"))
    else:
        blob = Blob(source.need("data"), source.need("media_type"), source.at)
    source.end()
    return blob


def _document(block: Fields) -> Part:
    kind, source = _source(block)
    if kind != "text":
        return File(_blob(kind, source), block.text("title"))
    if block.has("title"):
        raise block.wrong("title", "of a document of plain text can't be translated for the model's provider")
    made = Text(source.need("data"), block.at)
    source.raw("media_type")
    source.end()
    return made
