"""What a provider's message says, whole or streamed (Anthropic's Messages API and its streaming).

Signatures and redacted thinking are left out: they are only for the model that wrote them, and no other API has a place for them.
"""

from typing import Any

import msgspec

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.pieces import (
    CALL,
    CALLS,
    FILTERED,
    LENGTH,
    REASONING,
    STOP,
    TEXT,
    Answer,
    Began,
    Block,
    Closed,
    Counted,
    Done,
    End,
    Ended,
    Failed,
    Heard,
    Piece,
)
from ollm.wire.errors import status_in
from ollm.wire.sse import Event
from ollm.wire.usage import messages_usage

_REASONS = {
    "end_turn": STOP,
    "stop_sequence": STOP,
    "max_tokens": LENGTH,
    "model_context_window_exceeded": LENGTH,
    "tool_use": CALLS,
    "refusal": FILTERED,
}
_Members = dict[str, msgspec.Raw]
_EMPTY = msgspec.Raw(b"{}")
_encode = msgspec.json.Encoder().encode


class _Content(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _EMPTY

    def block(self) -> Block | None:
        """What it says, or None for what has no equivalent and means nothing to others. Raises: WireError."""
        if self.type == "text":
            return Block(TEXT, self.text)
        if self.type == "thinking":
            return Block(REASONING, self.thinking)
        if self.type == "redacted_thinking":
            return None
        if self.type != "tool_use" or not self.name:
            raise WireError("the provider's answer has a block that can't be translated")
        return Block(CALL, bytes(self.input).decode(), self.id, self.name)


class _Message(msgspec.Struct):
    type: str = ""
    id: Any = None
    content: list[_Content] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Members | None = None
    error: Any = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Content | None = None
    delta: _Delta | None = None
    usage: _Members | None = None


_message = msgspec.json.Decoder(_Message).decode
_event = msgspec.json.Decoder(_Event).decode


def _end(reason: str | None, sequence: str | None) -> End:
    if reason not in _REASONS:
        raise WireError("the provider's answer ended for a reason that isn't known")
    return End(_REASONS[reason], sequence)


def _used(members: _Members | None) -> Usage | None:
    return messages_usage(msgspec.Raw(_encode(members))) if members else None


def hear(body: bytes) -> Answer:
    """A whole answer. Raises: WireError."""
    try:
        message = _message(body)
        blocks = tuple(block for content in message.content or () if (block := content.block()) is not None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("the provider's answer is not a message") from None
    if message.error is not None or message.type == "error":
        raise ErrorAnswer(status_in(body))
    if message.type != "message" or message.content is None:
        raise WireError("the provider's answer is not a message")
    return Answer(blocks, _end(message.stop_reason, message.stop_sequence), _used(message.usage))


class MessagesHearer:
    """One stream."""

    def __init__(self) -> None:
        self._usage: _Members = {}  # the first half comes with message_start, what changes with message_delta
        self._calls: dict[int, str] = {}  # open calls by index, with the input that they began with until a piece of it comes

    def hear(self, event: Event) -> list[Heard]:
        """See `Hearer`."""
        if event.name == "error":
            return [Failed(status_in(event.data))]
        try:
            said = _event(event.data)
            return [Failed(status_in(event.data))] if said.type == "error" else self._heard(said, said.type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise WireError("the provider's stream has an event that is none of a message") from None

    def _heard(self, said: _Event, kind: str) -> list[Heard]:
        if kind == "message_start" and said.message is not None:
            return [Began(0, said.message.id if isinstance(said.message.id, str) else None), self._counted(said.message.usage)]
        if kind == "content_block_start" and said.content_block is not None:
            return self._start(said.index, said.content_block.block())
        if kind == "content_block_delta" and said.delta is not None:
            return self._delta(said.index, said.delta)
        if kind == "content_block_stop":
            begun = self._calls.pop(said.index, "")
            return [*([Piece(said.index, CALL, begun)] if begun else []), Closed(said.index)]
        if kind == "message_delta" and said.delta is not None:
            ended = [Ended(_end(said.delta.stop_reason, said.delta.stop_sequence))] if said.delta.stop_reason is not None else []
            return [*ended, self._counted(said.usage)]
        return [Done()] if kind == "message_stop" else []  # ping, and events to come: ignored as Anthropic's versioning rules ask

    def _counted(self, usage: _Members | None) -> Counted:
        self._usage.update({name: raw for name, raw in (usage or {}).items() if bytes(raw) != b"null"})
        return Counted(_used(self._usage))

    def _start(self, index: int, block: Block | None) -> list[Heard]:
        if block is None:
            return []
        if block.kind != CALL:
            return [Piece(index, block.kind, block.text)] if block.text else []
        self._calls[index] = block.text
        return [Piece(index, CALL, "", block.id, block.name)]

    def _delta(self, index: int, delta: _Delta) -> list[Heard]:
        if delta.type in {"signature_delta", "citations_delta"}:
            return []
        kinds = {"text_delta": (TEXT, delta.text), "thinking_delta": (REASONING, delta.thinking), "input_json_delta": (CALL, delta.partial_json)}
        if delta.type not in kinds:
            raise WireError("the provider's stream has a piece that can't be translated")
        kind, text = kinds[delta.type]
        if not text:
            return []
        if kind == CALL:
            if index not in self._calls:
                raise WireError("the provider's stream has arguments of a call that isn't open")
            self._calls[index] = ""
        return [Piece(index, kind, text)]
