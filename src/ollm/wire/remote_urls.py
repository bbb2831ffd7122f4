"""URLs in a request that somebody would have to fetch: a picture, a file or a tool server that is named and not brought along.

The gateway fetches nothing. Whether a provider may be asked to is the operator's choice: who fetches tells whoever serves the URL that a request
is being worked on, and from where, and what comes back was never in what the receipt's hash is of.

Looked at is by name, since APIs differ and grow: each member whose name ends in `url` or `uri`, and those that hold a picture, a recording or a
file, at any depth. Passed over is what the model or a tool has said (`arguments`, `input` of a tool's call, results of a search, citations), what
describes a tool (its schema), `metadata`, and all text: nobody fetches what stands there. `data:` URLs (RFC 2397) bring their content along.

Sources: OpenAI's OpenAPI document (`image_url`, `file_url`, `server_url`), Anthropic's Messages API (`source.url`, `mcp_servers.url`), OpenRouter
(`file_data` may be a URL), vLLM (`video_url`, `audio_url`), Groq (`url` of a form).
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ollm.wire.form import FormRequest
from ollm.wire.request import InferenceRequest, JsonRequest

_NAMED = ("url", "uri", "urls", "uris")  # ends of names, in whichever case
_HOLDERS = frozenset({"audio", "audios", "data", "file", "file_data", "files", "image", "images", "input_audio", "mask", "video", "videos"})
_INERT = frozenset({"annotations", "arguments", "citations", "input_schema", "json_schema", "metadata", "parameters", "schema"})
_PASSED = {  # by the type of an object: its members that are text, or repeat what was said or done
    "mcp_tool_use": frozenset({"input"}),
    "server_tool_use": frozenset({"input"}),
    "text": frozenset({"data"}),
    "tool_use": frozenset({"input"}),
    "web_fetch_result": frozenset({"url"}),
    "web_search_call": frozenset({"action"}),
    "web_search_result": frozenset({"url"}),
}
_TEXT_FIELDS = frozenset({"prompt", "model"})  # of forms
_TOLD = frozenset(  # names that an error may repeat; all others are the client's own words
    {
        "audio_url", "content", "documents", "file", "file_data", "file_url", "image", "image_url", "images", "input", "input_reference", "mask",
        "mcp_servers", "messages", "output", "server_url", "source", "system", "tools", "url", "video_url",
    }
)  # fmt: skip

_BROUGHT = re.compile(r"[\x00-\x20]*data:", re.IGNORECASE)  # readers of URLs pass over blanks before them (WHATWG URL §4.4)
_REMOTE = re.compile(r"[\x00-\x20]*(?:(?:https?|wss?|ftp|file):|(?:[a-z][a-z0-9+.-]*:)?[/\\]{2})", re.IGNORECASE)


def _nothing(text: str) -> None:
    """For numbers: none of them is a URL."""


_decode = json.JSONDecoder(parse_int=_nothing, parse_float=_nothing).decode


class Place(msgspec.Struct, frozen=True):
    """Where a URL stands: `messages[0].content[1].image_url.url`, as far as those names are the API's; None: not even the first is."""

    param: str | None


def remote_url(request: InferenceRequest) -> Place | None:
    """Where `request`, which was read strictly before, first has a URL to be fetched; None: nowhere."""
    if isinstance(request, JsonRequest):
        return _in_members((name, _decode(bytes(raw).decode())) for name, raw in request.members.items())
    if isinstance(request, FormRequest):
        return next((place for part in request.parts if part.filename is None and (place := _in_field(part.name, part.data))), None)
    return Place(None)  # a body that nobody can look into


def _in_members(members: Iterable[tuple[str, Any]], path: str = "", *, told: bool = True) -> Place | None:
    for name, value in members:
        known = told and name in _TOLD
        found = _in_value(name, value, (f"{path}.{name}" if path else name) if known else path, told=known)
        if found is not None:
            return found
    return None


def _in_value(name: str, value: Any, path: str, *, told: bool) -> Place | None:
    """Where below the member `name`. `path`: its own, as far as it may be told, which `told` says is all of it."""
    if isinstance(value, str):
        return Place(path or None) if _is_remote(name, value) else None
    if isinstance(value, list):
        each = ((f"{path}[{number}]" if told else path, item) for number, item in enumerate(value))
        return next((place for at, item in each if (place := _in_value(name, item, at, told=told))), None)
    if isinstance(value, Mapping) and name not in _INERT:
        kind = value.get("type")
        passed = _PASSED.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
        return _in_members(((inner, each) for inner, each in value.items() if inner not in passed), path, told=told)
    return None


def _is_remote(name: str, text: str) -> bool:
    if not text or _BROUGHT.match(text):
        return False
    return name.lower().endswith(_NAMED) or (name in _HOLDERS and _REMOTE.match(text) is not None)


def _in_field(name: str, data: bytes) -> Place | None:
    """The same for a form's field: whatever begins as a URL does, or a JSON value that has one."""
    plain = name.partition("[")[0]
    if plain in _TEXT_FIELDS:
        return None
    text = data.decode("utf-8", "replace")
    param = plain if plain in _TOLD else None
    if not _BROUGHT.match(text) and (_REMOTE.match(text) or _is_remote(plain, text)):
        return Place(param)
    try:
        value = _decode(text)
    except (ValueError, RecursionError):
        return None  # text
    return Place(param) if _in_value(plain, value, "", told=False) else None
