"""What a provider's response says, whole or streamed (OpenAI's OpenAPI document, Response and its streaming events).

Some servers leave out deltas and say a text only where it ends: then it is taken from there.
"""

from typing import Any, TypeAlias

import msgspec

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.pieces import (
    CALL,
    FILTERED,
    LENGTH,
    REASONING,
    REFUSAL,
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
from ollm.wire.usage import tier_of, typed_usage

_INCOMPLETE = {"max_output_tokens": LENGTH, "content_filter": FILTERED}
_PARTS = {"output_text": TEXT, "refusal": REFUSAL, "reasoning_text": REASONING, "summary_text": REASONING}
_NULL = msgspec.Raw(b"null")
_TEXTS = {  # what events are about, behind `response.` and before `.delta` or `.done`
    "output_text": TEXT,
    "refusal": REFUSAL,
    "reasoning_text": REASONING,
    "reasoning_summary_text": REASONING,
}


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""


class _Item(msgspec.Struct):
    type: str
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""

    def blocks(self) -> list[Block]:
        """What the item says. Raises: WireError for items of tools that nobody asked for."""
        if self.type == "function_call" and self.name:
            return [Block(CALL, self.arguments, self.call_id, self.name)]
        if self.type not in {"message", "reasoning"}:
            raise WireError("the provider's answer has an item that can't be translated")
        parts = self.content or self.summary or ()
        if any(part.type not in _PARTS for part in parts):
            raise WireError("the provider's answer has a part that can't be translated")
        return [Block(_PARTS[part.type], part.refusal or part.text) for part in parts]


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: Any = None
    created_at: Any = 0
    status: str = ""
    output: list[_Item] | None = None
    incomplete_details: _Incomplete | None = None
    usage: msgspec.Raw = _NULL
    service_tier: msgspec.Raw = _NULL
    error: Any = None

    def used(self) -> Usage | None:
        return typed_usage(self.usage, tier_of(self.service_tier)) if bytes(self.usage) != b"null" else None

    @property
    def when(self) -> int:
        return int(self.created_at) if isinstance(self.created_at, int | float) and 0 <= self.created_at < 2**53 else 0

    def end(self) -> End:
        """Why it ended. Raises: WireError."""
        if self.status == "completed":
            return End(STOP)
        reason = self.incomplete_details.reason if self.incomplete_details is not None else None
        if self.status != "incomplete" or reason not in _INCOMPLETE:
            raise WireError("the provider's answer ended for a reason that isn't known")
        return End(_INCOMPLETE[reason])


class _Event(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    text: str = ""
    refusal: str = ""
    arguments: str = ""
    item: _Item | None = None
    response: _Response | None = None


_response = msgspec.json.Decoder(_Response).decode
_event = msgspec.json.Decoder(_Event).decode
_Key: TypeAlias = tuple[str, int, int]


def hear(body: bytes) -> Answer:
    """A whole answer. Raises: WireError."""
    try:
        response = _response(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("the provider's answer is not a response") from None
    if response.error is not None:
        raise ErrorAnswer(status_in(body))
    if response.output is None:
        raise WireError("the provider's answer is not a response")
    return Answer(tuple(block for item in response.output for block in item.blocks()), response.end(), response.used(), response.when)


class ResponsesHearer:
    """One stream."""

    def __init__(self) -> None:
        self._begun: set[_Key] = set()  # calls
        self._said: set[_Key] = set()  # blocks of which some text came

    def hear(self, event: Event) -> list[Heard]:
        """See `Hearer`."""
        if event.data.startswith(b"[DONE]"):
            return []  # some send it too; the end was response.completed
        if event.name == "error":
            return [Failed(status_in(event.data))]
        try:
            said = _event(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise WireError("the provider's stream has an event that is none of a response") from None
        kind = said.type
        if kind in {"error", "response.failed", "response.cancelled"}:
            return [Failed(status_in(event.data))]
        if said.response is not None:
            return self._lifecycle(kind, said.response)
        if said.item is not None:
            return self._item(kind, said.output_index, said.item)
        return self._text(kind, said)

    def _lifecycle(self, kind: str, response: _Response) -> list[Heard]:
        if kind not in {"response.completed", "response.incomplete"}:
            return [Began(response.when, response.id if isinstance(response.id, str) else None, tier_of(response.service_tier))]
        pieces: list[Heard] = []
        if not self._begun and not self._said:  # nothing came as a stream
            blocks = [block for item in response.output or () for block in item.blocks()]
            pieces += [Piece(("whole", index, 0), block.kind, block.text, block.id, block.name) for index, block in enumerate(blocks)]
        return [*pieces, Counted(response.used()), Ended(response.end()), Done()]

    def _item(self, kind: str, index: int, item: _Item) -> list[Heard]:
        blocks = item.blocks()  # refuses what can't be translated
        if item.type != "function_call":
            return []
        (call,) = blocks
        key = (CALL, index, 0)
        begun: list[Heard] = [] if key in self._begun else [Piece(key, CALL, "", call.id, call.name)]
        self._begun.add(key)
        if kind != "response.output_item.done":
            return begun
        return [*begun, *self._final(key, CALL, call.text), Closed(key)]

    def _text(self, kind: str, said: _Event) -> list[Heard]:
        about, _, stage = kind.removeprefix("response.").rpartition(".")
        if stage not in {"delta", "done"}:
            return []
        if about == "function_call_arguments":
            key: _Key = (CALL, said.output_index, 0)
            if key not in self._begun:
                raise WireError("the provider's stream has arguments of a call that didn't begin")
            what, final = CALL, said.arguments
        elif about in _TEXTS:
            key = (about, said.output_index, said.summary_index if "summary" in about else said.content_index)
            what, final = _TEXTS[about], said.refusal or said.text
        else:
            return []
        if stage == "done":
            return self._final(key, what, final)
        if not isinstance(said.delta, str):
            raise WireError("the provider's stream has a piece that is no text")
        return self._piece(key, what, said.delta)

    def _piece(self, key: _Key, kind: str, text: str) -> list[Heard]:
        if not text:
            return []
        self._said.add(key)
        return [Piece(key, kind, text)]

    def _final(self, key: _Key, kind: str, text: str) -> list[Heard]:
        """The whole text of a block, which matters only where no delta came."""
        return [] if key in self._said else self._piece(key, kind, text)
