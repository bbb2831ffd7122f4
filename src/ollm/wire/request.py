"""A request with a JSON body: the few members that routing needs; everything else passes through byte for byte."""

from typing import Any, Protocol

import msgspec

from ollm.errors import WireError
from ollm.values.hexes import Hex32, hex32
from ollm.values.secret import Hidden
from ollm.wire.endpoints import CHAT, Endpoint
from ollm.wire.rules import NO_RULES, ruled
from ollm.wire.strict_json import parse_object

JSON = "application/json"

MAX_MODEL_NAME = 256  # characters
MAX_SESSION_IDS = 64

_Members = dict[str, msgspec.Raw]
_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(_Members).decode
_TRUE = msgspec.Raw(b"true")


class Constraint(msgspec.Struct, frozen=True):
    """What the caller demands of the route (ACI §6): it only ever tightens what key and configuration demand."""

    verified: bool = False
    session_ids: tuple[Hex32, ...] = ()


NO_CONSTRAINT = Constraint()


class JsonRequest(Hidden, frozen=True, eq=False):
    """One request with a JSON body. The members hold the prompt, so they stay out of repr and comparison."""

    endpoint: Endpoint
    model: str
    stream: bool
    include_usage: bool  # whether the client asked for the usage chunk
    constraint: Constraint
    members: _Members  # without `provider` where nothing of it goes on; what the endpoint's rules force is in them
    options: _Members  # members of stream_options
    text: bool = False  # the answer is text, not JSON

    content_type = JSON

    def __repr__(self) -> str:
        return f"<{self.endpoint.name} request stream={self.stream}>"

    def forward(self, upstream_model: str) -> bytes:
        """The body to send on: model replaced, our constraint consumed, usage always asked for on a stream where there is a way to ask."""
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
    def constraint(self) -> Constraint: ...
    @property
    def text(self) -> bool: ...
    @property
    def content_type(self) -> str: ...  # of the body that `forward` makes

    def forward(self, upstream_model: str) -> bytes: ...


_name = msgspec.json.Decoder(str).decode
_flag = msgspec.json.Decoder(bool | None).decode
_text = msgspec.json.Decoder(str | None).decode
_strict_flag = msgspec.json.Decoder(bool).decode
_object = msgspec.json.Decoder(_Members | None).decode
_ids = msgspec.json.Decoder(list[str]).decode


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
    constraint, provider = _constraint(members)
    if endpoint.rules is not NO_RULES:
        members = ruled(endpoint.rules, members)
    if provider is not None:
        members = {**members, "provider": msgspec.Raw(_encode(provider))}
        if not provider:
            del members["provider"]
    return JsonRequest(endpoint, model, stream, include_usage, constraint, members, options)


def _streamed(members: _Members, endpoint: Endpoint) -> bool:
    if endpoint.streams is None:
        return False
    name, value = endpoint.streams
    if value == "true":
        return _read(members, name, _flag, "a boolean") or False
    return bool(_read(members, name, _text, "a string") == _name(value.encode()))


def _constraint(members: _Members) -> tuple[Constraint, _Members | None]:
    """Our demands in `provider`, and what is left of it; None where it goes on as it came."""
    if "provider" not in members:
        return NO_CONSTRAINT, None
    provider = _read(members, "provider", _object, "an object")
    ours = [name for name in provider or () if name.startswith("aci_")]
    if not provider or not ours:
        return NO_CONSTRAINT, None
    verified = _read(provider, "aci_verified", _strict_flag, "a boolean", within="provider.")
    ids = _read(provider, "aci_session_ids", _ids, "a list of session ids", within="provider.")
    if set(ours) - {"aci_verified", "aci_session_ids"}:
        raise WireError("provider has an aci_ member that this gateway does not know", "provider")
    if ids is not None:
        if verified is False:
            raise WireError("aci_session_ids contradicts aci_verified: false", "provider.aci_verified")
        if not 0 < len(ids) <= MAX_SESSION_IDS:
            raise WireError(f"aci_session_ids must have 1 to {MAX_SESSION_IDS} entries", "provider.aci_session_ids")
    return (
        Constraint(verified=bool(verified) or ids is not None, session_ids=tuple(_session_id(text) for text in ids or ())),
        {name: value for name, value in provider.items() if name not in ours},
    )


def _session_id(text: str) -> Hex32:
    try:
        return hex32(text)
    except WireError as error:
        raise WireError(error.reason, "provider.aci_session_ids") from None


def _read(members: _Members, name: str, decode: Any, kind: str, *, within: str = "") -> Any:
    """The member `name`, or None when it is absent. Raises: WireError when it is not `kind`."""
    raw = members.get(name)
    if raw is None:
        return None
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        raise WireError(f"{name} must be {kind}", within + name) from None
