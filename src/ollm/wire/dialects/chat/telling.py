"""An answer told to a client as a chat completion (OpenAI's OpenAPI document, CreateChatCompletionResponse and its stream).

Reasoning goes into `reasoning_content`, the member that most clients of open models read; OpenAI's API has none.
"""

from typing import Any

import msgspec

from ollm.values.usage import Usage
from ollm.wire.answer import DONE
from ollm.wire.dialects.counts import to_chat
from ollm.wire.dialects.frame import Frame
from ollm.wire.dialects.pieces import (
    CALL,
    CALLS,
    FILTERED,
    LENGTH,
    REASONING,
    REFUSAL,
    STOP,
    TEXT,
    Answer,
    Began,
    Block,
    End,
)
from ollm.wire.errors import STREAM_CODE, STREAM_MESSAGE, STREAM_TYPE, error_body
from ollm.wire.sse import data_event

_encode = msgspec.json.Encoder().encode
_FINISH = {STOP: "stop", LENGTH: "length", CALLS: "tool_calls", FILTERED: "content_filter"}
_MEMBERS = {TEXT: "content", REASONING: "reasoning_content", REFUSAL: "refusal"}


def tell(answer: Answer, frame: Frame) -> bytes:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for block in answer.blocks:
        if block.kind != CALL:
            member = _MEMBERS[block.kind]
            message[member] = (message.get(member) or "") + block.text
    calls = [_call(block, block.text) for block in answer.blocks if block.kind == CALL]
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.end.reason]}
    completion = {"id": frame.id, "object": "chat.completion", "created": answer.created, "model": frame.model, "choices": [choice]}
    if answer.usage is not None:
        completion["usage"] = to_chat(answer.usage)
    return _encode(completion)


def _call(block: Block, arguments: str) -> dict[str, Any]:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


class ChatTeller:
    """One stream."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._created = 0
        self._calls: dict[int, int] = {}  # numbers of blocks that are calls, to their index among the calls

    def begin(self, began: Began) -> bytes:
        """The chunk that names the role."""
        self._created = began.created
        return self._chunk({"role": "assistant", "content": ""})

    def open(self, block: Block) -> bytes:
        """Only a call has something to be said at its beginning."""
        if block.kind != CALL:
            return b""
        index = self._calls[block.number] = len(self._calls)
        return self._chunk({"tool_calls": [{"index": index, **_call(block, "")}]})

    def say(self, block: Block, text: str) -> bytes:
        """More of a block."""
        if block.kind != CALL:
            return self._chunk({_MEMBERS[block.kind]: text})
        return self._chunk({"tool_calls": [{"index": self._calls[block.number], "function": {"arguments": text}}]})

    def close(self, block: Block, *, cut: bool) -> bytes:
        """Chat completions don't say where a part ends."""
        return b""

    def end(self, end: End, usage: Usage | None) -> bytes:
        """The reason, the usage if the client asked for it, and [DONE]."""
        last = self._chunk({}, _FINISH[end.reason])
        if self._frame.include_usage and usage is not None:
            last += data_event(_encode({**self._head(), "choices": [], "usage": to_chat(usage)}))
        return last + DONE

    def fail(self) -> bytes:
        """The event that OpenAI's SDKs raise on."""
        return data_event(error_body(STREAM_TYPE, STREAM_CODE, STREAM_MESSAGE))

    def _head(self) -> dict[str, Any]:
        return {"id": self._frame.id, "object": "chat.completion.chunk", "created": self._created, "model": self._frame.model}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        chunk: dict[str, Any] = {**self._head(), "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        if self._frame.include_usage:
            chunk["usage"] = None
        return data_event(_encode(chunk))
