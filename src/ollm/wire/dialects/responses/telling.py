"""An answer told to a client as a response (OpenAI's OpenAPI document, Response and its streaming events).

Every block is an item of the output. Reasoning is told as reasoning text, not as a summary: it is what the provider's model wrote.
"""

from typing import Any

import msgspec

from ollm.values.usage import Usage
from ollm.wire.dialects.counts import to_responses
from ollm.wire.dialects.frame import Frame, named_event
from ollm.wire.dialects.pieces import CALL, FILTERED, LENGTH, REASONING, REFUSAL, TEXT, Answer, Began, Block, End
from ollm.wire.errors import STREAM_CODE, STREAM_MESSAGE, STREAM_TYPE

_encode = msgspec.json.Encoder().encode
_INCOMPLETE = {LENGTH: "max_output_tokens", FILTERED: "content_filter"}
_PREFIXES = {TEXT: "msg", REFUSAL: "msg", REASONING: "rs", CALL: "fc"}
_PARTS = {TEXT: "output_text", REFUSAL: "refusal", REASONING: "reasoning_text"}  # also how events call them, but for text
# What a response repeats from its request, and what it says where the request is silent: the defaults of the API.
_REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_UNSAID = {"completed_at": None, "frequency_penalty": 0.0, "presence_penalty": 0.0, "service_tier": "default", "background": False}
_TOOL = {"description": None, "parameters": None, "strict": None}  # what a tool in an answer has, even if the one that was sent hadn't
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def tell(answer: Answer, frame: Frame) -> bytes:
    """A whole answer."""
    cut = answer.end.reason in _INCOMPLETE
    last = len(answer.blocks) - 1
    output = [_item(frame, block, block.text, "incomplete" if cut and block.number == last else "completed") for block in answer.blocks]
    return _encode(_response(frame, answer.created, output) | _ended(answer.end, answer.usage))


def _response(frame: Frame, created: int, output: list[dict[str, Any]], status: str = "in_progress") -> dict[str, Any]:
    return {
        "id": frame.id,
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        **_UNSAID,
        **_REPEATED,
        **{name: _repeated(name, frame.members[name]) for name in _REPEATED if bytes(frame.members.get(name, b"null")) != b"null"},
        "model": frame.model,
        "output": output,
        "previous_response_id": None,
        "store": False,
        "usage": None,
    }


def _repeated(name: str, raw: msgspec.Raw) -> object:
    """A member of the request as the response repeats it: complete, where the API's own answers are."""
    line = _line(raw)
    if name == "tools":
        return [{**_TOOL, **tool} for tool in _objects(line)]
    return {**_REPEATED[name], **_object(line)} if name in {"text", "reasoning"} else line


def _line(raw: msgspec.Raw) -> msgspec.Raw:
    """JSON text on one line; a line break between its tokens would end the event's data."""
    return msgspec.Raw(bytes(raw).replace(b"\n", b" ").replace(b"\r", b" "))


def _ended(end: End, usage: Usage | None) -> dict[str, Any]:
    reason = _INCOMPLETE.get(end.reason)
    counts = to_responses(usage) if usage is not None else None
    return {"status": "completed" if reason is None else "incomplete", "incomplete_details": reason and {"reason": reason}, "usage": counts}


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == TEXT:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": _PARTS[kind], ("refusal" if kind == REFUSAL else "text"): text}


def _item(frame: Frame, block: Block, text: str, status: str) -> dict[str, Any]:
    """An item of the output; while it is in progress, it has no content yet."""
    item: dict[str, Any] = {"id": frame.derived(_PREFIXES[block.kind], block.number), "status": status}
    if block.kind == CALL:
        return {**item, "type": "function_call", "call_id": block.id, "name": block.name, "arguments": text}
    content = [] if status == "in_progress" else [_part(block.kind, text)]
    if block.kind == REASONING:
        return {**item, "type": "reasoning", "summary": [], "content": content}
    return {**item, "type": "message", "role": "assistant", "content": content}


class ResponsesTeller:
    """One stream."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._created = 0
        self._begun = False
        self._sequence = 0
        self._said: list[str] = []  # of the open block: its text stands once more where it ends
        self._output: list[dict[str, Any]] = []

    def begin(self, began: Began) -> bytes:
        """response.created and response.in_progress."""
        self._created, self._begun = began.created, True
        response = _response(self._frame, self._created, [])
        return self._event("response.created", response=response) + self._event("response.in_progress", response=response)

    def open(self, block: Block) -> bytes:
        """response.output_item.added, and response.content_part.added where the item has content."""
        self._said = []
        item = _item(self._frame, block, "", "in_progress")
        added = self._event("response.output_item.added", output_index=block.number, item=item)
        if block.kind == CALL:
            return added
        return added + self._event("response.content_part.added", **self._where(block), part=_part(block.kind, ""))

    def say(self, block: Block, text: str) -> bytes:
        """The delta of the item's kind."""
        self._said.append(text)
        more: dict[str, Any] = {"logprobs": []} if block.kind == TEXT else {}
        return self._event(f"response.{_name(block)}.delta", **self._where(block), delta=text, **more)

    def close(self, block: Block, *, cut: bool) -> bytes:
        """Its whole text, and response.output_item.done."""
        text = "".join(self._said)
        item = _item(self._frame, block, text, "incomplete" if cut else "completed")
        self._output.append(item)
        where = self._where(block)
        if block.kind == CALL:
            done = self._event("response.function_call_arguments.done", **where, name=block.name, arguments=text)
        else:
            more: dict[str, Any] = {"logprobs": []} if block.kind == TEXT else {}
            whole = {"refusal" if block.kind == REFUSAL else "text": text}
            done = self._event(f"response.{_name(block)}.done", **where, **whole, **more)
            done += self._event("response.content_part.done", **where, part=_part(block.kind, text))
        return done + self._event("response.output_item.done", output_index=block.number, item=item)

    def end(self, end: End, usage: Usage | None) -> bytes:
        """response.completed or response.incomplete."""
        ended = _ended(end, usage)
        return self._event(f"response.{ended['status']}", response=_response(self._frame, self._created, self._output) | ended)

    def fail(self) -> bytes:
        """An error event on which OpenAI's SDKs raise, for their sake with a member `error`, and response.failed for those that go on."""
        error = {"type": STREAM_TYPE, "code": STREAM_CODE, "message": STREAM_MESSAGE, "param": None}
        said = self._event("error", code=STREAM_CODE, message=STREAM_MESSAGE, param=None, error=error)
        if not self._begun:
            return said
        failed = {"error": {"code": "server_error", "message": STREAM_MESSAGE}}
        return said + self._event("response.failed", response=_response(self._frame, self._created, self._output, "failed") | failed)

    def _where(self, block: Block) -> dict[str, Any]:
        where: dict[str, Any] = {"item_id": self._frame.derived(_PREFIXES[block.kind], block.number), "output_index": block.number}
        return where if block.kind == CALL else {**where, "content_index": 0}

    def _event(self, type: str, **members: Any) -> bytes:
        self._sequence += 1
        return named_event({"type": type, "sequence_number": self._sequence - 1, **members})


def _name(block: Block) -> str:
    return "function_call_arguments" if block.kind == CALL else _PARTS[block.kind]
