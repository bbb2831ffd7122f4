"""What an endpoint or a provider's contract demands of every request body: members that are forced, left out, or refused.

An endpoint's rules are for whatever would have content kept for later. Providers without evidence promise not to retain what they are sent,
and the promise often hangs on a member of the request. So these members are ours, whatever the client wrote; all others go on byte for byte.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from ollm.errors import WireError

_Members: TypeAlias = dict[str, msgspec.Raw]
_UNSAID = (b"null", b"false")  # with these a member asks for nothing
_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(_Members).decode
_object = msgspec.json.Decoder(_Members | None).decode
_any = msgspec.json.Decoder().decode


class _Tool(msgspec.Struct):
    type: str = ""


_tools = msgspec.json.Decoder(list[_Tool] | None).decode


class BodyRules(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of one endpoint, or of one provider for it. Values are JSON text."""

    forced: Mapping[str, str | Mapping[str, str]] = {}  # of a mapping, each member is forced and the client's others stay
    dropped: frozenset[str] = frozenset()  # members without which the request means the same
    refused: Mapping[str, str] = {}  # member and why: each would have content kept, or handed on to somebody else
    refused_values: Mapping[str, tuple[str, str]] = {}  # member, the one word that it must not be, and why
    refused_tools: frozenset[str] = frozenset()  # types of tools that keep content, or hand it on
    tools_elsewhere: str | None = None  # prefix of the tools' types that somebody else runs


NO_RULES = BodyRules()


def apply(rules: BodyRules, body: bytes) -> bytes:
    """`body`, an object that has been parsed before, as `rules` demand. Raises: WireError with the member that can't be sent."""
    return _encode(ruled(rules, _read(_members, body, None)))


def ruled(rules: BodyRules, given: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The members of a body as `rules` demand. Raises: WireError with the member that can't be sent."""
    _refuse(rules, given)
    members: dict[str, Any] = {name: value for name, value in given.items() if name not in rules.dropped}
    for name, forced in rules.forced.items():
        if isinstance(forced, str):
            members[name] = msgspec.Raw(forced.encode())
        else:
            theirs = (_read(_object, members[name], name) or {}) if name in members else {}
            members[name] = {**theirs, **{inner: msgspec.Raw(text.encode()) for inner, text in forced.items()}}
    return members


def _refuse(rules: BodyRules, members: Mapping[str, msgspec.Raw]) -> None:
    for name, reason in rules.refused.items():
        if name in members and bytes(members[name]) not in _UNSAID:
            raise WireError(reason, name)
    for name, (word, reason) in rules.refused_values.items():
        if name in members and _read(_any, members[name], name) == word:  # decoded: escapes must not hide it
            raise WireError(reason, name)
    if "tools" in members and (rules.refused_tools or rules.tools_elsewhere is not None):
        for tool in _read(_tools, members["tools"], "tools") or ():
            if tool.type in rules.refused_tools or (rules.tools_elsewhere is not None and tool.type.startswith(rules.tools_elsewhere)):
                raise WireError("this tool is run by others than the provider of the model, or keeps what it is given", "tools")


def _read(decode: Any, raw: bytes | msgspec.Raw, name: str | None) -> Any:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("a member has another type than the API defines" if name else "the body is not a JSON object", name) from None
