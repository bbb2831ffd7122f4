"""A stream on its way to the client, screened: each text in it by its own window, everything else event by event.

    chat, completions       choices[i].delta …, choices[i].text; over with the choice's finish_reason
    responses, transcripts  events named ….delta; over with the next event of the same item that is none
    messages                content_block_delta; over with its content_block_stop

It reads what the rewriter of the client's own API made, so it is the same for answers that were translated. A text that is held back when its
end comes goes out in an event of its own before that end, made after the last event that it came in. Sequence numbers of Responses are
counted on. Log probabilities are dropped: they repeat the text token by token. An event goes out as it came where its bytes say that nothing
can be found in it (`traces`), its one text goes through at once, and no text before was held back.
"""

from collections.abc import Callable, Hashable

import msgspec

from ollm.errors import WireError
from ollm.wire.answer import DONE, members_of, text_of
from ollm.wire.detect.json_texts import rewritten
from ollm.wire.detect.screen import Screen
from ollm.wire.detect.windows import Window
from ollm.wire.rewriting import Rewriter
from ollm.wire.sse import Event, EventParser

_Raw = msgspec.Raw
_Members = dict[str, _Raw]
_Wrap = Callable[[_Raw], _Raw]  # a text's new value → the value that it stood in
_encode = msgspec.json.Encoder().encode
_list = msgspec.json.Decoder(list[_Raw]).decode
_string = msgspec.json.Decoder(str).decode

# Members whose strings go on from event to event. All other strings are whole where they are.
_GROWING = frozenset(
    {"content", "reasoning_content", "reasoning", "refusal", "text", "thinking", "partial_json", "arguments", "delta", "transcript", "summary"}
)
_PLAIN = frozenset({"id", "object", "created", "model", "choices", "usage", "sequence_number", "type", "index", "output_index", "content_index"})
_KEPT_BESIDE = ("type", "index")  # of the objects around a text: without them a reader can't place it
_NOT_TEXT = ("audio.delta", "partial_image")  # types of events with base64
_DELTAS = frozenset({"text_delta", "thinking_delta", "input_json_delta"})  # Anthropic's; others are whole
_PLAIN_CHOICE = frozenset({"delta", "text", "index", "finish_reason"})
_NULL, _ZERO = _Raw(b"null"), _Raw(b"0")
_NO_LOGPROBS = (_NULL, _Raw(b"[]"))


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    """The most frequent delta: one text that grows."""

    content: str
    role: str | None = None
    refusal: None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    delta: _Delta
    index: _Raw = _ZERO
    finish_reason: None = None
    logprobs: None = None


class _Chunk(msgspec.Struct):
    choices: tuple[_Choice]


_chunk = msgspec.json.Decoder(_Chunk).decode


class _Held:
    """A window and how to make an event of what it holds."""

    __slots__ = ("event", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.event: Callable[[_Raw], bytes] = bytes


class ScreenedStream:
    """`Rewriter` around another. `acted`: names of the rules that masked something."""

    def __init__(self, inner: Rewriter, screen: Screen) -> None:
        self._inner = inner
        self._screen = screen
        self.acted: set[str] = set()
        self._parser = EventParser()
        self._held: dict[tuple[Hashable, ...], _Held] = {}
        self._added = 0  # events of our own so far
        self._number: int | None = None  # of the next event, in APIs that number them
        self._final = False  # the texts in this event end with it
        self._plain = False  # nothing can be found in this event alone
        self._read()

    @property
    def ended(self) -> bool:
        return self._inner.ended

    def feed(self, data: bytes) -> bytes:
        """As `Rewriter.feed`. Raises: RuleBlocked as well."""
        out = self._inner.feed(data)
        self._read()
        return self._screened(out)

    def close(self) -> bytes:
        """As `Rewriter.close`. Raises: RuleBlocked as well."""
        out = self._inner.close()
        self._read()
        return self._screened(out)

    def _read(self) -> None:
        """Take over what the inner rewriter has seen."""
        inner = self._inner
        self.usage, self.tier, self.provider_id = inner.usage, inner.tier, inner.provider_id
        self.content_events, self.done, self.failed, self.fault = inner.content_events, inner.done, inner.failed, inner.fault

    def _screened(self, out: bytes) -> bytes:
        return b"".join(self._event(event) for event in self._parser.feed(out)) if out else b""

    def _event(self, event: Event) -> bytes:
        if event.data.startswith(b"[DONE]"):
            return self._flush(()) + DONE
        self._plain = self._screen.passes(event.data)
        if self._plain and self._chat_goes_through(event.data):
            return b"data: " + event.data + b"\n\n"
        members = members_of(event.data)
        if _first(members.get("choices")) == b"[":
            return self._chat(members)
        number = bytes(members.get("sequence_number", b""))
        self._number = int(number) + self._added if number.isdigit() else None
        kind = text_of(members.get("type")) or event.name
        if kind == "content_block_delta":
            return self._block_delta(event.name, members)
        if kind.endswith(".delta") and not kind.endswith(_NOT_TEXT) and _first(members.get("delta")) == b'"':
            return self._typed_delta(event, kind, members)
        before = self._flush(_scope(kind, members))
        return before + _written(event.name, self._numbered(self._whole(members, _PLAIN)))

    # Events as they came. A member that is there twice would be read as one here, and perhaps as the other elsewhere.

    def _chat_goes_through(self, data: bytes) -> bool:
        if b"\n" in data or data.count(b'"content"') != 1 or data.count(b'"delta"') != 1:
            return False
        try:
            choice = _chunk(data).choices[0]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        return self._at(("chat", _key(choice.index), "delta", "content")).window.through(choice.delta.content)

    def _delta_goes_through(self, data: bytes, members: _Members, key: tuple[Hashable, ...]) -> bool:
        if self._added or b"\n" in data or data.count(b'"delta"') != 1 or members.get("logprobs", _NULL) not in _NO_LOGPROBS:
            return False
        return self._at(key).window.through(_text(members["delta"]))

    def _at(self, key: tuple[Hashable, ...]) -> _Held:
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(Window(self._screen, self.acted))
        return held

    # Chat and completions

    def _chat(self, members: _Members) -> bytes:
        before: list[bytes] = []
        choices: list[_Raw] = []
        for raw in _items(members["choices"]):
            choice = members_of(raw)
            choice.pop("logprobs", None)
            index = choice.get("index", _ZERO)
            self._final = choice.get("finish_reason", _NULL) != _NULL
            event = self._alone(members, index)
            for name in ("delta", "text"):
                if name in choice:
                    choice[name] = self._grown(choice[name], name, ("chat", _key(index), name), _member(name), event)
            if self._final:
                before.append(self._flush(("chat", _key(index))))
            self._final = False
            choices.append(_Raw(_encode(self._whole(choice, _PLAIN_CHOICE))))
        rest = self._whole(members, _PLAIN)
        rest["choices"] = _Raw(_encode(choices))
        return b"".join((*before, _written("", rest)))

    def _alone(self, members: _Members, index: _Raw) -> Callable[[_Raw], bytes]:
        """What makes an event like that of `members`, with one choice of the members that it is given."""
        usage = {"usage": _NULL} if "usage" in members else {}

        def event(inner: _Raw) -> bytes:
            choice = {"index": index, **members_of(inner), "finish_reason": _NULL}
            return _written("", {**members, "choices": _Raw(_encode([choice])), **usage})

        return event

    # Typed events

    def _typed_delta(self, came: Event, kind: str, members: _Members) -> bytes:
        name = came.name
        key = ("typed", *(_key(members.get(member)) for member in ("output_index", "item_id", "content_index", "summary_index")), kind)
        if self._plain and self._delta_goes_through(came.data, members, key):
            return _named(name) + b"data: " + came.data + b"\n\n"
        members.pop("logprobs", None)
        members.pop("obfuscation", None)  # it pads the text to a length that it hasn't any more

        def event(new: _Raw, members: _Members = members) -> bytes:
            return _written(name, self._own(members, {"delta": new}))

        members["delta"] = self._grown(members["delta"], "delta", key, lambda new: new, event)
        return _written(name, self._numbered(self._whole(members, _PLAIN | {"delta"})))

    def _block_delta(self, name: str, members: _Members) -> bytes:
        delta = members_of(members.get("delta", _Raw(b"{}")))
        if text_of(delta.get("type")) not in _DELTAS:
            return _written(name, self._whole(members, _PLAIN))

        def event(new: _Raw, members: _Members = members) -> bytes:
            return _written(name, {**members, "delta": new})

        members["delta"] = self._grown(_Raw(_encode(delta)), "delta", ("block", _key(members.get("index"))), lambda new: new, event)
        return _written(name, members)

    # Texts that grow

    def _grown(self, raw: _Raw, name: str, key: tuple[Hashable, ...], wrap: _Wrap, event: Callable[[_Raw], bytes]) -> _Raw:
        """`raw` with each growing text in it pushed through its window; `wrap` and `event` make an event of a later value of such a text."""
        first = _first(raw)
        if first == b'"' and name in _GROWING:
            held = self._at(key)
            held.event = lambda new: event(wrap(new))
            text = held.window.push(_text(raw))
            if self._final:
                text += self._held.pop(key).window.flush()
            return _Raw(_encode(text))
        if first == b"{":
            return self._grown_members(members_of(raw), key, wrap, event)
        if first == b"[":
            out: list[_Raw] = []
            for place, each in enumerate(_items(raw)):
                at = _key(members_of(each).get("index"), place) if _first(each) == b"{" else place
                out.append(self._grown(each, name, (*key, at), lambda new: wrap(_Raw(_encode([new]))), event))
            return _Raw(_encode(out))
        return raw if self._plain else _Raw(rewritten(raw, self._screen, self.acted))

    def _grown_members(self, members: _Members, key: tuple[Hashable, ...], wrap: _Wrap, event: Callable[[_Raw], bytes]) -> _Raw:
        beside = {name: members[name] for name in _KEPT_BESIDE if name in members}
        out: _Members = {}
        for name, value in members.items():
            if not self._plain:
                self._screen.refuse(name)
            if name in beside:
                out[name] = value
            else:
                out[name] = self._grown(value, name, (*key, name), _then(_member(name, beside), wrap), event)
        return _Raw(_encode(out))

    def _flush(self, scope: tuple[Hashable, ...]) -> bytes:
        """Events for what is held back of the texts whose keys begin with `scope`."""
        out: list[bytes] = []
        for key in [key for key in self._held if key[: len(scope)] == scope]:
            held = self._held.pop(key)
            text = held.window.flush()
            if text:
                out.append(held.event(_Raw(_encode(text))))
        return b"".join(out)

    # Everything else

    def _whole(self, members: _Members, skip: frozenset[str]) -> _Members:
        if self._plain:
            return members
        return {name: value if name in skip else _Raw(rewritten(value, self._screen, self.acted)) for name, value in members.items()}

    def _numbered(self, members: _Members) -> _Members:
        """`members` of the provider's event, counted on by our own before it."""
        if self._number is None:
            return members
        return {**members, "sequence_number": _Raw(b"%d" % self._number)}

    def _own(self, members: _Members, new: _Members) -> _Members:
        """Members of an event of our own, after those of the last one of its text."""
        members = {**self._numbered(members), **new}
        if self._number is not None:
            self._number += 1
            self._added += 1
        return members


def _scope(kind: str, members: _Members) -> tuple[Hashable, ...]:
    """Which texts are over with an event of `kind` that is no delta."""
    if kind == "ping":
        return ("nothing",)
    if kind in ("content_block_start", "content_block_stop"):
        return ("block", _key(members.get("index")))
    if "output_index" in members:
        return ("typed", _key(members["output_index"]))
    return ()


def _member(name: str, beside: _Members | None = None) -> _Wrap:
    """What puts a value into an object as its member `name`, with the members `beside` it."""
    return lambda new: _Raw(_encode({**(beside or {}), name: new}))


def _then(inner: _Wrap, outer: _Wrap) -> _Wrap:
    return lambda new: outer(inner(new))


def _written(name: str, members: _Members) -> bytes:
    return _named(name) + b"data: " + _encode(members) + b"\n\n"


def _named(name: str) -> bytes:
    return b"event: " + name.encode() + b"\n" if name else b""


def _key(raw: _Raw | None, absent: int = 0) -> Hashable:
    return bytes(raw) if raw is not None else absent


def _first(raw: _Raw | None) -> bytes:
    return bytes(raw)[:1] if raw is not None else b""


def _items(raw: _Raw) -> list[_Raw]:
    try:
        return _list(raw)
    except (msgspec.MsgspecError, RecursionError):
        raise WireError("the provider's event has another shape than the API defines") from None


def _text(raw: _Raw) -> str:
    try:
        return _string(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise WireError("a text of the stream is not valid JSON") from None
