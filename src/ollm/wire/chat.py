"""A chat completion request: the few members that routing needs; everything else passes through byte for byte."""

from typing import Any, TypeVar

import msgspec

from ollm.errors import WireError
from ollm.values.hexes import Hex32, hex32
from ollm.values.secret import Hidden
from ollm.wire.strict_json import parse_object

MAX_MODEL_NAME = 256  # characters
MAX_SESSION_IDS = 64

_T = TypeVar("_T")
_Members = dict[str, msgspec.Raw]
_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(_Members).decode
_TRUE = msgspec.Raw(b"true")


class Constraint(msgspec.Struct, frozen=True):
    """What the caller demands of the route (ACI §6): it only ever tightens what key and configuration demand."""

    verified: bool = False
    session_ids: tuple[Hex32, ...] = ()


NO_CONSTRAINT = Constraint()


class ChatRequest(Hidden, frozen=True, eq=False):
    """One request. The members hold the prompt, so they stay out of repr and comparison."""

    model: str
    stream: bool
    include_usage: bool  # whether the client asked for the usage chunk
    constraint: Constraint
    members: _Members
    options: _Members  # members of stream_options
    provider: _Members | None  # what is left of `provider` without ours; None when it stays as it came

    def __repr__(self) -> str:
        return f"<chat request stream={self.stream}>"

    def forward(self, upstream_model: str) -> bytes:
        """The body to send on: model replaced, our constraint consumed, usage always asked for on a stream."""
        members: dict[str, Any] = self.members.copy()
        members["model"] = upstream_model
        if self.stream:
            members["stream_options"] = {**self.options, "include_usage": _TRUE}
        if self.provider:
            members["provider"] = self.provider
        elif self.provider is not None:
            del members["provider"]
        return _encode(members)


_model = msgspec.json.Decoder(str).decode
_flag = msgspec.json.Decoder(bool | None).decode
_strict_flag = msgspec.json.Decoder(bool).decode
_object = msgspec.json.Decoder(_Members | None).decode
_strict_object = _members
_ids = msgspec.json.Decoder(list[str]).decode


def parse_chat(body: bytes) -> ChatRequest:
    """Read the routing members of `body`. Raises: WireError with `param` naming the member at fault."""
    members = parse_object(body)
    model = _read(members, "model", _model, "a string")
    if model is None or not 0 < len(model) <= MAX_MODEL_NAME:
        raise WireError("model is required", "model")
    stream = _read(members, "stream", _flag, "a boolean") or False
    options = _read(members, "stream_options", _object, "an object") or {}
    include_usage = _read(options, "include_usage", _flag, "a boolean", within="stream_options.") or False
    constraint, provider = _constraint(members)
    return ChatRequest(model, stream, include_usage, constraint, members, options, provider)


def _constraint(members: _Members) -> tuple[Constraint, _Members | None]:
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
