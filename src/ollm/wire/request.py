"""A request with a JSON body: the few members that routing needs; everything else passes through byte for byte."""

from typing import Any, Protocol

import msgspec

from ollm.errors import WireError
from ollm.values.secret import Hidden
from ollm.wire.endpoints import CHAT, Endpoint
from ollm.wire.preferences import Preferences, take
from ollm.wire.rules import NO_RULES, ruled
from ollm.wire.strict_json import parse_object

JSON = "application/json"

MAX_MODEL_NAME = 256  # characters

_Members = dict[str, msgspec.Raw]
_encode = msgspec.json.Encoder().encode
_TRUE = msgspec.Raw(b"true")


class JsonRequest(Hidden, frozen=True, eq=False):
    """One request with a JSON body. The members hold the prompt, so they stay out of repr and comparison."""

    endpoint: Endpoint
    model: str
    stream: bool
    include_usage: bool  # whether the client asked for the usage chunk
    preferences: Preferences
    members: _Members  # without `provider` where nothing of it goes on; what the endpoint's rules force is in them
    options: _Members  # members of stream_options
    text: bool = False  # the answer is text, not JSON
    text_bytes: int = 0  # of the body, for an estimate of its tokens

    content_type = JSON

    def __repr__(self) -> str:
        return f"<{self.endpoint.name} request stream={self.stream}>"

    @property
    def characters(self) -> int:
        """Of the text that is to be spoken, where the endpoint speaks; as the provider counts them: code points."""
        raw = self.members.get(self.endpoint.spoken) if self.endpoint.spoken else None
        try:
            return len(_name(raw)) if raw is not None else 0
        except msgspec.MsgspecError:
            return 0

    def forward(self, upstream_model: str) -> bytes:
        """The body to send on: model replaced, our preferences consumed, usage always asked for on a stream where there is a way to ask."""
        members: dict[str, Any] = self.members.copy()
        members["model"] = upstream_model
        if self.stream and self.endpoint.usage_option:
            members["stream_options"] = {**self.options, "include_usage": _TRUE}
        return _encode(members)


class InferenceRequest(Protocol):
    """What the path knows of a request, whatever form its body has."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def include_usage(self) -> bool: ...
    @property
    def preferences(self) -> Preferences: ...
    @property
    def text(self) -> bool: ...
    @property
    def text_bytes(self) -> int: ...  # of what is text in it, for an estimate of its tokens
    @property
    def characters(self) -> int: ...  # that are to be spoken
    @property
    def content_type(self) -> str: ...  # of the body that `forward` makes

    def forward(self, upstream_model: str) -> bytes: ...


_name = msgspec.json.Decoder(str).decode
_flag = msgspec.json.Decoder(bool | None).decode
_text = msgspec.json.Decoder(str | None).decode
_object = msgspec.json.Decoder(_Members | None).decode


def parse_json(body: bytes, endpoint: Endpoint = CHAT, default: str = "") -> JsonRequest:
    """Read the routing members of `body`; `default` is the model of requests that name none.

    Raises: WireError with `param` naming the member at fault.
    """
    members = parse_object(body)
    model = _read(members, "model", _name, "a string") or default
    if not 0 < len(model) <= MAX_MODEL_NAME:
        raise WireError("model is required", "model")
    stream = _streamed(members, endpoint)
    options: _Members = {}
    include_usage = False
    if endpoint.usage_option:
        options = _read(members, "stream_options", _object, "an object") or {}
        include_usage = _read(options, "include_usage", _flag, "a boolean", within="stream_options.") or False
    preferences, provider = take(members)
    if endpoint.rules is not NO_RULES:
        members = ruled(endpoint.rules, members)
    if provider is not None:
        members = {**members, "provider": msgspec.Raw(_encode(provider))}
        if not provider:
            del members["provider"]
    return JsonRequest(endpoint, model, stream, include_usage, preferences, members, options, text_bytes=len(body))


def _streamed(members: _Members, endpoint: Endpoint) -> bool:
    if endpoint.streams is None:
        return False
    name, value = endpoint.streams
    if value == "true":
        return _read(members, name, _flag, "a boolean") or False
    return bool(_read(members, name, _text, "a string") == _name(value.encode()))


def _read(members: _Members, name: str, decode: Any, kind: str, *, within: str = "") -> Any:
    """The member `name`, or None when it is absent. Raises: WireError when it is not `kind`."""
    raw = members.get(name)
    if raw is None:
        return None
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        raise WireError(f"{name} must be {kind}", within + name) from None
