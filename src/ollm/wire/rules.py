"""What a provider's contract demands of every request body: members that are forced, left out, or refused.

Providers without evidence promise not to retain what they are sent, and the promise often hangs on a member of the request. So
these members are ours, whatever the client wrote; all other members go on byte for byte.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from ollm.errors import WireError

_Members: TypeAlias = dict[str, msgspec.Raw]
_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(_Members).decode
_object = msgspec.json.Decoder(_Members | None).decode


class _Tool(msgspec.Struct):
    type: str = ""


_tools = msgspec.json.Decoder(list[_Tool] | None).decode


class BodyRules(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of one provider. Values are JSON text."""

    forced: Mapping[str, str | Mapping[str, str]] = {}  # of a mapping, each member is forced and the client's others stay
    dropped: frozenset[str] = frozenset()  # members without which the request means the same
    refused: Mapping[str, str] = {}  # member and why: each would have content kept, or handed on to somebody else
    tools_elsewhere: str | None = None  # prefix of the tools' types that somebody else runs


def apply(rules: BodyRules, body: bytes) -> bytes:
    """`body`, an object that has been parsed before, as `rules` demand. Raises: WireError with the member that can't be sent."""
    members: dict[str, Any] = dict(_read(_members, body, None))
    for name, reason in rules.refused.items():
        if name in members and bytes(members[name]) != b"null":
            raise WireError(reason, name)
    if rules.tools_elsewhere is not None and "tools" in members:
        for tool in _read(_tools, members["tools"], "tools") or ():
            if tool.type.startswith(rules.tools_elsewhere):
                raise WireError("this tool is run by others than the provider of the model", "tools")
    for name in rules.dropped:
        members.pop(name, None)
    for name, value in rules.forced.items():
        if isinstance(value, str):
            members[name] = msgspec.Raw(value.encode())
        else:
            theirs = (_read(_object, members[name], name) or {}) if name in members else {}
            members[name] = {**theirs, **{inner: msgspec.Raw(text.encode()) for inner, text in value.items()}}
    return _encode(members)


def _read(decode: Any, raw: bytes | msgspec.Raw, name: str | None) -> Any:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("a member has another type than the API defines" if name else "the body is not a JSON object", name) from None
