"""What the built-in responder says: a chat request in, words or a tool call out, the same for the same request."""

import re
from typing import Any, TypeVar

import msgspec

from ollm.errors import ApiError
from ollm.sim.sample import sample
from ollm.values.secret import Hidden

MAX_ECHO = 600  # characters of the user's text that an answer repeats
_PIECE = re.compile(r"\s*\S+|\s+")
_Request = TypeVar("_Request", bound=msgspec.Struct)


class Message(Hidden, frozen=True):
    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class Function(Hidden, frozen=True):
    name: str
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class Tool(Hidden, frozen=True):
    type: str = "function"
    function: Function | None = None


class ChatRequest(Hidden, frozen=True):
    model: str
    messages: list[Message]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None


class Said(Hidden, frozen=True):
    """What one choice says, before it is put into a whole answer or a stream."""

    pieces: list[str]
    finish: str
    tool: str | None = None  # name of the function called; then `pieces` are its arguments


def say(request: ChatRequest, index: int) -> Said:
    """What choice `index` says."""
    words = _last_user_text(request)
    tool = _called_tool(request, words)
    if tool is not None:
        return Said(_split(msgspec.json.encode(sample(tool.parameters, _topic(words))).decode()), "tool_calls", tool.name)
    kind = (request.response_format or {}).get("type")
    if kind == "json_schema":
        described = request.response_format["json_schema"] if request.response_format else {}
        schema = described.get("schema", {}) if isinstance(described, dict) else {}
        text = msgspec.json.encode(sample(schema if isinstance(schema, dict) else {}, _topic(words))).decode()
    elif kind == "json_object":
        text = msgspec.json.encode({"messages": len(request.messages), "last_user_message": words[:MAX_ECHO]}).decode()
    else:
        text = _prose(request, words, index)
    return _limited(text, request)


def _prose(request: ChatRequest, words: str, index: int) -> str:
    count = len(request.messages)
    images = sum(1 for part in parts_of(request) if part.get("type") == "image_url")
    arrived = f"{count} message{'s' if count != 1 else ''}" + (f" and {images} image{'s' if images != 1 else ''}" if images else "")
    last = request.messages[-1]
    lines = [f"Your request arrived. I read {arrived} inside this simulated enclave."]
    if last.role == "tool":
        lines.append(f"The tool said: “{text_of(last)[:MAX_ECHO]}”.")
    if words:
        echo = words if len(words) <= MAX_ECHO else words[:MAX_ECHO] + "…"
        lines.append(f"Your last words were: “{echo}”.")
    lines.append("I am a fixed program that plays a model, so the same request always gets this same answer.")
    if index:
        lines.append(f"This is choice {index + 1}.")
    return "\n\n".join(lines)


def _limited(text: str, request: ChatRequest) -> Said:
    """`text` under the stop sequences and the token limit of `request`."""
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    ends = [text.find(stop) for stop in stops if stop and stop in text]
    pieces = _split(text[: min(ends)] if ends else text)
    limit = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    if limit is not None and limit < 1:
        raise bad_request("the token limit must be positive", "max_completion_tokens")
    return Said(pieces, "stop") if limit is None or len(pieces) <= limit else Said(pieces[:limit], "length")


def _called_tool(request: ChatRequest, words: str) -> Function | None:
    """The function to call: the one that was demanded, or (auto) the first that the last message speaks of."""
    offered = [tool.function for tool in request.tools or () if tool.function is not None]
    choice = request.tool_choice if request.tool_choice is not None else "auto"
    if not offered or choice == "none" or request.messages[-1].role == "tool":
        return None
    if isinstance(choice, dict):
        function = choice.get("function")
        wanted = function.get("name") if isinstance(function, dict) else None
        named = next((function for function in offered if function.name == wanted), None)
        if named is None:
            raise bad_request("tool_choice names no tool of the request", "tool_choice")
        return named
    if choice == "required":
        return offered[0]
    lowered = words.lower()
    for function in offered:
        if any(len(word) >= 4 and word in lowered for word in re.split(r"[^a-z0-9]+", function.name.lower())):
            return function
    return None


def decode(body: bytes, kind: type[_Request]) -> _Request:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the text of either could quote content
        raise bad_request("the body is not a request of this endpoint", None) from None


def parts_of(request: ChatRequest) -> list[dict[str, Any]]:
    parts = [part for message in request.messages if isinstance(message.content, list) for part in message.content]
    for part in parts:
        image = part.get("image_url")
        address = image.get("url") if isinstance(image, dict) else None
        if part.get("type") == "image_url" and not (isinstance(address, str) and address.startswith("data:")):
            raise bad_request("images are taken as data URLs only: an enclave fetches nothing", "messages")
    return parts


def text_of(message: Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(part["text"] for part in message.content if isinstance(part.get("text"), str))
    return message.content or ""


def _last_user_text(request: ChatRequest) -> str:
    return next((text_of(message) for message in reversed(request.messages) if message.role == "user"), "")


def _topic(words: str) -> str:
    """The last word of the user, a good stand-in for an argument: the city of a question about its weather."""
    found = re.findall(r"\w+", words)
    return found[-1] if found else "example"


def _split(text: str) -> list[str]:
    pieces: list[str] = _PIECE.findall(text)
    return pieces


def bad_request(message: str, param: str | None) -> ApiError:
    return ApiError(400, "invalid_request_error", None, message, param=param)
