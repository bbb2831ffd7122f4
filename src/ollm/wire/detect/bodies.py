"""Requests and whole answers, screened. What is judged is what goes on: a request is rewritten, and everybody behind reads the rewritten one."""

import re

import msgspec

from ollm.errors import RuleBlocked, WireError
from ollm.wire.detect.json_texts import members_rewritten, rewritten
from ollm.wire.detect.screen import Screen
from ollm.wire.form import FormRequest, Part
from ollm.wire.request import InferenceRequest, JsonRequest

_ROUTING = frozenset({"model", "stream"})  # the one is replaced, the other no text
_TEXTLESS = frozenset({"embeddings", "moderations", "messages.count_tokens"})  # endpoints whose answers are numbers
_LOGPROBS = re.compile(
    rb'"logprobs"\s*+:\s*+(?:\{(?!\s*+(?:"content"\s*+:\s*+(?:null|\[\s*+\])\s*+(?:,\s*+"refusal"\s*+:\s*+(?:null|\[\s*+\])\s*+)?)?\})|\[(?!\s*+\]))'
)
LOGPROBS = "logprobs"
_REPEATING = frozenset({LOGPROBS, "top_logprobs", "include"})  # members that ask for the answer token by token

_any = msgspec.json.Decoder().decode


def request_screened(request: InferenceRequest, screen: Screen, acted: set[str]) -> InferenceRequest:
    """`request` as it may go on; names of rules that masked something go into `acted`. Raises: RuleBlocked, WireError."""
    if isinstance(request, JsonRequest):
        members = members_rewritten(request.members, screen, acted, skip=_ROUTING)
        return request if members is request.members else msgspec.structs.replace(request, members=members)
    if isinstance(request, FormRequest):
        return msgspec.structs.replace(request, parts=tuple(_part(part, screen, acted) for part in request.parts))
    raise WireError("a request of this form can't be looked into")


def _part(part: Part, screen: Screen, acted: set[str]) -> Part:
    """Fields, and the names of files; what is in a file is no text."""
    screen.refuse(part.name)
    if part.name in _ROUTING:
        return part
    text = part.data if part.filename is None else part.filename
    try:
        old = text.decode()
    except UnicodeDecodeError:
        raise WireError("a field of the form is not UTF-8, and rules look at its text", part.name) from None
    new = screen.masked(old, acted)
    if new == old:
        return part
    return msgspec.structs.replace(part, **{"data" if part.filename is None else "filename": new.encode()})


def answer_screened(body: bytes, endpoint: str, screen: Screen, acted: set[str], *, text: bool) -> bytes:
    """A whole answer of `endpoint` as it may be handed out; `text`: it is no JSON. Raises: RuleBlocked, WireError."""
    if text:
        return screen.masked(body.decode(), acted).encode()
    if endpoint in _TEXTLESS:
        return body
    if _LOGPROBS.search(body) is not None:
        raise WireError("the provider sent log probabilities, which repeat the answer token by token, and nobody asked for them")
    return rewritten(body, screen, acted)


def asks_for_logprobs(request: InferenceRequest) -> bool:
    """Whether the answer is to repeat its text token by token, where no rule could look at it."""
    if not isinstance(request, JsonRequest):
        return False
    members = request.members
    if _REPEATING.isdisjoint(members):
        return False
    for name in ("logprobs", "top_logprobs"):
        value = _any(members[name]) if name in members else None
        if value not in (None, False, 0) or (value is not None and value is not False and request.endpoint.name == "completions"):
            return True  # there, 0 asks for those of the text itself
    included = _any(members["include"]) if "include" in members else None
    return isinstance(included, list) and any(isinstance(each, str) and LOGPROBS in each for each in included)


__all__ = ["RuleBlocked", "answer_screened", "asks_for_logprobs", "request_screened"]
