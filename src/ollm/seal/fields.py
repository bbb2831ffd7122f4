"""JSON whose fields are sealed one by one: which fields, as data, and the walk over a body that seals or opens them.

A `Rule` says what is sealed in one JSON value, by its JSON type. Members and values that no rule names pass byte for byte.

    Rule(text=True)                       a string, sealed as its characters
    Rule(whole=True)                      any value, sealed as its JSON text; in an answer a string that opens to JSON
    Rule(text=True, whole=True)           a string as its characters, anything else as its JSON text (message content)
    Rule(items=Rule(text=True))           an array of such strings
    Rule(members={"name": Rule(…)})       an object; `clear` names the members that may stay as they are in a strict request

`null` and the empty string are never sealed: there is nothing in them, and the protocols leave them so.

In a request a value of a type that its rule does not name is refused, never sent in the clear. In an answer it is refused as
plaintext. Objects that a rule looks into are written anew from the members that were judged, so a duplicate member, of which
another parser would see the other one, is gone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ollm.errors import SealError
from ollm.values.structs import resolved

_Members = dict[str, msgspec.Raw]
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_value = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode

SealField = Callable[[str, bytes], str]  # (field path, plaintext) → what stands in the JSON string
OpenField = Callable[[str, str], bytes]  # (field path, what stood in the JSON string) → plaintext; raises SealError


class Rule(msgspec.Struct, frozen=True, eq=False):
    """What is sealed in one JSON value; see the module."""

    text: bool = False
    whole: bool = False
    items: "Rule | None" = None
    members: "Mapping[str, Rule] | None" = None
    clear: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()  # strings that are words of the API and no content
    tokens: bool = False  # token ids (numbers, arrays of numbers) have no sealed form: refused where strict
    indexed: bool = False  # an item's place in the field path is its member `index`, if it has one (ACI E2EE v2 §5)


TEXT = Rule(text=True)
WHOLE = Rule(whole=True)


def each(rule: Rule, *, indexed: bool = False) -> Rule:
    """An array whose items follow `rule`."""
    return Rule(items=rule, indexed=indexed)


def within(members: Mapping[str, Rule], clear: str = "") -> Rule:
    """An object; `clear` lists, separated by spaces, the members that may stay in the clear in a strict request."""
    return Rule(members=members, clear=frozenset(clear.split()))


# --- requests -----------------------------------------------------------------------------------------------------------


class RequestSealer:
    """Seals one request body by `rule`. `count` is how many fields were sealed."""

    __slots__ = ("_seal", "_strict", "count")

    def __init__(self, seal: SealField, *, strict: bool) -> None:
        self._seal = seal
        self._strict = strict
        self.count = 0

    def body(self, members: _Members, rule: Rule) -> bytes:
        """The sealed body. Raises: SealError INVALID_INPUT, UNSEALABLE_CONTENT."""
        sealed = self._members(members, rule, "")
        if not self.count:
            raise SealError("INVALID_INPUT", "the request has nothing that could be sealed")
        return bytes(sealed)

    def _members(self, members: _Members, rule: Rule, path: str) -> msgspec.Raw:
        rules = rule.members or {}
        out = members.copy()
        for name, value in members.items():
            inner = rules.get(name)
            if inner is not None:
                out[name] = self._value(value, inner, f"{path}.{name}" if path else name)
            elif self._strict and name not in rule.clear:
                raise SealError("UNSEALABLE_CONTENT", "a member has no sealed form in this protocol")
        return msgspec.Raw(_encode(out))

    def _value(self, raw: msgspec.Raw, rule: Rule, path: str) -> msgspec.Raw:
        kind = memoryview(raw)[0]
        if kind == 0x22:  # "
            return self._string(raw, rule, path)
        if kind == 0x6E:  # null
            return raw
        if kind == 0x5B and rule.items is not None:  # [
            return self._items(raw, rule, rule.items, path)
        if kind == 0x7B and rule.members is not None:  # {
            return self._members(_read(_decode_members, raw, "INVALID_INPUT"), rule, path)
        if rule.whole:
            return self._sealed(path, bytes(raw))
        if rule.tokens and kind != 0x7B:
            if self._strict:
                raise SealError("UNSEALABLE_CONTENT", "token ids have no sealed form in this protocol")
            return raw
        raise SealError("INVALID_INPUT", "a member that is sealed has a type that has no sealed form")

    def _string(self, raw: msgspec.Raw, rule: Rule, path: str) -> msgspec.Raw:
        text = _read(_decode_text, raw, "INVALID_INPUT")
        if not text or text in rule.words:
            return raw
        if rule.text:
            # A receiver turns content that reads as a JSON array into content parts; so such a text goes as one part of text.
            if rule.whole and reads_as_array(text):
                return self._sealed(path, _encode([{"type": "text", "text": text}]))
            return self._sealed(path, text.encode())
        if rule.whole:
            return self._sealed(path, bytes(raw))
        if not rule.words:
            raise SealError("INVALID_INPUT", "a member that is sealed has a type that has no sealed form")
        if self._strict:
            raise SealError("UNSEALABLE_CONTENT", "a member has no sealed form in this protocol")
        return raw

    def _items(self, raw: msgspec.Raw, rule: Rule, item: Rule, path: str) -> msgspec.Raw:
        items = _read(_decode_items, raw, "INVALID_INPUT")
        return msgspec.Raw(_encode([self._value(value, item, f"{path}.{position}") for position, value in enumerate(items)]))

    def _sealed(self, path: str, plaintext: bytes) -> msgspec.Raw:
        self.count += 1
        return msgspec.Raw(_encode(self._seal(path, plaintext)))


def reads_as_array(text: str) -> bool:
    """Whether a receiver that tries to parse `text` would take it for a JSON array."""
    inner = text.strip(" \t\n\r")
    if not (inner.startswith("[") and inner.endswith("]")):
        return False
    try:
        _decode_items(inner)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


# --- answers ------------------------------------------------------------------------------------------------------------


class AnswerWalk:
    """Opens the sealed fields of answers by `rule`."""

    __slots__ = ("_open",)

    def __init__(self, open_field: OpenField) -> None:
        self._open = open_field

    def body(self, members: _Members, rule: Rule) -> bytes:
        """The opened body. Raises: SealError PLAINTEXT_ANSWER, MALFORMED_ANSWER, AEAD_DECRYPT_FAILED."""
        return bytes(self._members(members, rule, ""))

    def _members(self, members: _Members, rule: Rule, path: str) -> msgspec.Raw:
        for name, inner in (rule.members or {}).items():
            value = members.get(name)
            if value is not None:
                members[name] = self._value(value, inner, f"{path}.{name}" if path else name)
        return msgspec.Raw(_encode(members))

    def _value(self, raw: msgspec.Raw, rule: Rule, path: str) -> msgspec.Raw:
        kind = memoryview(raw)[0]
        if kind == 0x22:  # "
            return self._string(raw, rule, path)
        if kind == 0x6E:  # null
            return raw
        if kind == 0x5B and rule.items is not None:  # [
            return self._items(raw, rule, rule.items, path)
        if kind == 0x7B and rule.members is not None:  # {
            return self._members(_read(_decode_members, raw, "MALFORMED_ANSWER"), rule, path)
        raise SealError("PLAINTEXT_ANSWER", "a field that must be sealed is not")

    def _string(self, raw: msgspec.Raw, rule: Rule, path: str) -> msgspec.Raw:
        blob = _read(_decode_text, raw, "MALFORMED_ANSWER")
        if not blob:
            return raw
        if rule.text:
            return msgspec.Raw(_encode(text_of(self._open(path, blob))))
        if rule.whole:
            return json_of(self._open(path, blob))
        raise SealError("MALFORMED_ANSWER", "a member has another type than the API's")

    def _items(self, raw: msgspec.Raw, rule: Rule, item: Rule, path: str) -> msgspec.Raw:
        items = _read(_decode_items, raw, "MALFORMED_ANSWER")
        for position, value in enumerate(items):
            place = _index(value, position) if rule.indexed else position
            items[position] = self._value(value, item, f"{path}.{place}")
        return msgspec.Raw(_encode(items))


@resolved
class _Indexed(msgspec.Struct, frozen=True):
    index: msgspec.Raw = msgspec.Raw(b"null")


_decode_indexed = msgspec.json.Decoder(_Indexed).decode


def _index(raw: msgspec.Raw, position: int) -> int:
    """The member `index` of an item where it is an unsigned integer of 64 bits, else the item's position."""
    try:
        index = bytes(_decode_indexed(raw).index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return position  # no object; whether it may be one is the rule's business
    return int(index) if index.isdigit() and len(index) <= 20 and int(index) < 1 << 64 else position


# --- JSON, with our errors ----------------------------------------------------------------------------------------------


def _read(decode: Callable[[Any], Any], raw: msgspec.Raw | bytes, code: str) -> Any:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise SealError(code, "not the JSON that is due here") from None


def request_members(body: bytes) -> _Members:
    """The members of a request body. Raises: SealError INVALID_INPUT."""
    members: _Members = _read(_decode_members, body, "INVALID_INPUT")
    return members


def answer_members(data: bytes) -> _Members:
    """The members of an answer, or of one event of it. Raises: SealError MALFORMED_ANSWER."""
    members: _Members = _read(_decode_members, data, "MALFORMED_ANSWER")
    return members


def text_of(plaintext: bytes) -> str:
    """What was sealed as characters. Raises: SealError MALFORMED_ANSWER."""
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        raise SealError("MALFORMED_ANSWER", "a sealed text is not UTF-8") from None


def json_of(plaintext: bytes) -> msgspec.Raw:
    """What was sealed as JSON text, checked to be exactly one value. Raises: SealError MALFORMED_ANSWER."""
    text_of(plaintext)
    value: msgspec.Raw = _read(_decode_value, plaintext, "MALFORMED_ANSWER")
    return value.copy()


def string_member(members: _Members, name: str) -> str | None:
    """The member `name` where it is a string, else None."""
    raw = members.get(name)
    try:
        return None if raw is None else _decode_text(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
