"""An answer told to a client as a message (Anthropic's Messages API and its streaming).

Reasoning becomes blocks of thinking with an empty signature: a signature is Anthropic's own, and no other provider makes one. In a stream
the counts come with the last event; the first one's are zero, since a chat provider doesn't count before its end.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.errors import WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.conversation import checked_object
from ollm.wire.dialects.counts import to_messages
from ollm.wire.dialects.frame import Frame, named_event
from ollm.wire.dialects.pieces import CALL, CALLS, FILTERED, LENGTH, REASONING, REFUSAL, STOP, Answer, Began, Block, End
from ollm.wire.errors import STREAM_MESSAGE

_encode = msgspec.json.Encoder().encode
_texts = msgspec.json.Decoder(list[str] | None).decode
_REASONS = {STOP: "end_turn", LENGTH: "max_tokens", CALLS: "tool_use", FILTERED: "refusal"}
# Members that Anthropic's answers always have, and of which another provider says nothing.
_UNSAID = {"stop_details": None, "container": None}
_UNCOUNTED = {"cache_creation": None, "inference_geo": None, "server_tool_use": None, "service_tier": None}
_NULL = msgspec.Raw(b"null")


def tell(answer: Answer, frame: Frame) -> bytes:
    """A whole answer. Raises: WireError when the arguments of a tool call are no object, which a message can't hold."""
    refused = any(block.kind == REFUSAL for block in answer.blocks)
    message = {**_head(frame), "content": [_block(block) for block in answer.blocks], **_end(answer.end, frame, refused)}
    return _encode({**message, **_UNSAID, "usage": {**to_messages(answer.usage), **_UNCOUNTED}})


def _head(frame: Frame) -> dict[str, Any]:
    return {"id": frame.id, "type": "message", "role": "assistant", "model": frame.model}


def _block(block: Block) -> Mapping[str, Any]:
    if block.kind == CALL:
        try:
            made = checked_object(block.text, "")
        except WireError:
            raise WireError("the provider's answer calls a tool with arguments that are not a JSON object") from None
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": made, "caller": {"type": "direct"}}
    if block.kind == REASONING:
        return {"type": "thinking", "thinking": block.text, "signature": ""}
    return {"type": "text", "text": block.text, "citations": None}


def _end(end: End, frame: Frame, refused: bool) -> Mapping[str, Any]:
    """Why the answer ended. A stop sequence is only believed if the client set it: chat templates have their own."""
    if refused and end.reason == STOP:
        return {"stop_reason": "refusal", "stop_sequence": None}
    if end.reason == STOP and end.sequence is not None and end.sequence in (_texts(frame.members.get("stop_sequences", _NULL)) or ()):
        return {"stop_reason": "stop_sequence", "stop_sequence": end.sequence}
    return {"stop_reason": _REASONS[end.reason], "stop_sequence": None}


class MessagesTeller:
    """One stream."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._refused = False

    def begin(self, began: Began) -> bytes:
        """message_start."""
        message = {**_head(self._frame), "content": [], "stop_reason": None, "stop_sequence": None, **_UNSAID}
        return named_event({"type": "message_start", "message": {**message, "usage": {**to_messages(None), **_UNCOUNTED}}})

    def open(self, block: Block) -> bytes:
        """content_block_start, with nothing in it."""
        self._refused = self._refused or block.kind == REFUSAL
        return named_event({"type": "content_block_start", "index": block.number, "content_block": _block(block)})

    def say(self, block: Block, text: str) -> bytes:
        """content_block_delta."""
        delta = {"type": "text_delta", "text": text}
        if block.kind == CALL:
            delta = {"type": "input_json_delta", "partial_json": text}
        elif block.kind == REASONING:
            delta = {"type": "thinking_delta", "thinking": text}
        return named_event({"type": "content_block_delta", "index": block.number, "delta": delta})

    def close(self, block: Block, *, cut: bool) -> bytes:
        """content_block_stop."""
        return named_event({"type": "content_block_stop", "index": block.number})

    def end(self, end: End, usage: Usage | None) -> bytes:
        """message_delta and message_stop."""
        delta = {**_end(end, self._frame, self._refused), **_UNSAID}
        counts = {**to_messages(usage), "server_tool_use": None}
        return named_event({"type": "message_delta", "delta": delta, "usage": counts}) + named_event({"type": "message_stop"})

    def fail(self) -> bytes:
        """The event that Anthropic's SDKs raise on."""
        return named_event({"type": "error", "error": {"type": "api_error", "message": STREAM_MESSAGE}})
