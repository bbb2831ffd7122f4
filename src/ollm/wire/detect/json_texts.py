r"""Every text of a JSON document, screened: values at any depth, names of members, long numbers, and JSON inside of texts.

What is not masked stays byte for byte. Escapes are read first, so `4111\u0031…` hides nothing. Two things are passed over, since there is no
text in them that could be read here: `data:` URLs in base64, and members that hold base64 or ciphertext by the APIs' definitions. The name
of a member can't be masked; there every rule blocks.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ollm.errors import WireError
from ollm.wire.detect.screen import Screen

# Possessive throughout: linear on every input. A string, perhaps with the colon that makes it a name; or a whole number of 8 to 20 digits.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"(\s*+:\s*+)?+|[0-9](?<![0-9.eE+-].)[0-9]{7,19}+(?![0-9.eE])', re.DOTALL)
_STEP = re.compile(rb'"(?:[^"\\]++|\\.)*+"(\s*+:)?+|[{}\[\],]', re.DOTALL)
# Base64 and ciphertext: OpenAI (input_audio.data, file_data, b64_json, encrypted_content, result), Anthropic (source.data, signature).
_OPAQUE = frozenset({b'"data"', b'"file_data"', b'"b64_json"', b'"partial_image_b64"', b'"encrypted_content"', b'"signature"', b'"result"'})
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\r\n-]{96,}+")
_DATA_URL = re.compile(r"data:[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}(?:;[a-z0-9=.+-]{1,64}){0,4};base64,", re.IGNORECASE)
_NESTED = ("{", "[")
_DEPTH = 4  # JSON in a text in JSON …: as deep as anybody reads it

_string = msgspec.json.Decoder(str).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Found(msgspec.Struct, frozen=True):
    """Where a rule would act, without the text: RFC 6901 pointer of the value, and characters within it."""

    rule: str
    action: str
    pointer: str
    start: int
    end: int


def rewritten(document: bytes | msgspec.Raw, screen: Screen, acted: set[str], *, depth: int = 0) -> bytes:
    """`document`, valid JSON, as it may go on; names of rules that masked something go into `acted`.

    Raises: RuleBlocked, and WireError for a string that is no text.
    """
    data = bytes(document)
    if depth == 0 and screen.passes(data):
        return data
    out: list[bytes] = []
    at = 0
    for start, end, value, name in _texts(data):
        if name is None:
            screen.refuse(value)
            continue
        changed = _value(value, screen, acted, depth)
        if changed is not value:
            out += (data[at:start], _encode(changed))
            at = end
    return b"".join((*out, data[at:])) if out else data


def found_in(document: bytes, screen: Screen, pointer: str = "") -> Iterator[Found]:
    """Where rules would act in `document`, for people who try them."""
    for start, _, value, name in _texts(document):
        where = pointer + _pointer(document, start)
        if name is None:  # of the object that has such a member: the name itself may be what was found
            where = where.rpartition("/")[0]
        if name is not None and (inner := _inner(value)) is not None:
            yield from found_in(inner, screen, where)
            continue
        for hit in screen.hits(value):
            blocks = hit.rule.mask is None or name is None
            yield Found(hit.rule.name, "block" if blocks else "mask", where, hit.start, hit.end)


def _texts(data: bytes) -> Iterator[tuple[int, int, str, bytes | None]]:
    """Start, end, text and the name before each value that has text; of the name of a member, None in place of a name."""
    name, name_end = b"", -1
    for token in _TOKEN.finditer(data):
        start, end = token.span()
        if token[1] is not None:
            end = token.start(1)
            name, name_end = data[start:end], token.end()
            yield start, end, _text(name), None
        elif data[start] != 0x22:
            yield start, end, data[start:end].decode(), b""
        else:
            named = name if name_end == start else b""
            value = _text(data[start:end])
            if not is_opaque(value, named):
                yield start, end, value, named


def is_opaque(value: str, name: bytes) -> bool:
    """Whether `value` of the member `name` (as JSON) has no text that could be read here."""
    if value.startswith(("data:", "DATA:")) and _DATA_URL.match(value) is not None:
        return True
    return name in _OPAQUE and _BASE64.fullmatch(value) is not None


def _text(token: bytes) -> str:
    if b"\\" not in token:
        try:
            return token[1:-1].decode()
        except UnicodeDecodeError:
            raise WireError("a text is not UTF-8") from None
    try:
        return _string(token)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise WireError("a text is not valid JSON") from None


def _value(value: str, screen: Screen, acted: set[str], depth: int) -> str:
    """The same object where nothing is masked."""
    if depth < _DEPTH and (inner := _inner(value)) is not None:
        changed = rewritten(inner, screen, acted, depth=depth + 1)
        return value if changed == inner else changed.decode()
    masked = screen.masked(value, acted)
    return value if masked == value else masked


def _inner(value: str) -> bytes | None:
    """`value` where it is JSON by itself, such as the arguments of a tool's call."""
    if not value.lstrip(" \t\r\n").startswith(_NESTED):
        return None
    inner = value.encode()
    try:
        _any(inner)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return inner


def _pointer(data: bytes, offset: int) -> str:
    """RFC 6901 pointer to what begins at `offset` of `data`."""
    steps: list[str | int] = []
    for token in _STEP.finditer(data, 0, offset):
        mark = token[0]
        if mark == b"{":
            steps.append("")
        elif mark == b"[":
            steps.append(0)
        elif mark in (b"}", b"]"):
            steps.pop()
        elif mark == b"," and steps and isinstance(steps[-1], int):
            steps[-1] += 1
        elif token[1] is not None:
            steps[-1] = _text(mark[: -len(token[1])])
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def members_rewritten(members: dict[str, msgspec.Raw], screen: Screen, acted: set[str], *, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    """As `rewritten`, for the members of an object; those in `skip` aren't looked at. `members` itself where nothing can be found in it.

    Raises: as `rewritten`.
    """
    looked = [value for name, value in members.items() if name not in skip]
    if screen.passes(b"\n".join((*looked, *map(str.encode, members)))):
        return members
    changed: dict[str, Any] = {}
    for name, value in members.items():
        screen.refuse(name)
        new = bytes(value) if name in skip else rewritten(value, screen, acted)
        changed[name] = value if new == bytes(value) else msgspec.Raw(new)
    return changed
