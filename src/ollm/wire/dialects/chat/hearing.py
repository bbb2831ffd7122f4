"""What a provider's chat completion says, whole or streamed (OpenAI's OpenAPI document, CreateChatCompletionResponse and its stream).

Beside OpenAI's members, those of the servers that models run in are understood: reasoning as `reasoning` (vLLM, OpenRouter) or
`reasoning_content` (SGLang, DeepSeek), the stop sequence that was met as `stop_reason` (vLLM) or `matched_stop` (SGLang).
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
    REFUSAL,
    STOP,
    TEXT,
    Answer,
    Began,
    Block,
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
from ollm.wire.usage import chat_usage, tier_of

_REASONS = {"stop": STOP, "length": LENGTH, "tool_calls": CALLS, "function_call": CALLS, "content_filter": FILTERED}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[_Call] | None = None

    def texts(self) -> list[tuple[str, str]]:
        """Kind and text of what is said beside calls, in the order in which models say it."""
        reasoning = self.reasoning_content or self.reasoning
        said = ((REASONING, reasoning if isinstance(reasoning, str) else ""), (TEXT, self.content), (REFUSAL, self.refusal))
        return [(kind, text) for kind, text in said if text]


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    matched_stop: Any = None

    def end(self) -> End:
        """Why it ended. Raises: WireError."""
        reason = _REASONS.get(self.finish_reason or "")
        if reason is None:
            raise WireError("the provider's answer ended for a reason that isn't known")
        met = self.stop_reason or self.matched_stop
        return End(reason, met if isinstance(met, str) else None)


class _Completion(msgspec.Struct):
    id: Any = None
    created: Any = 0
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None

    def used(self) -> Usage | None:
        return chat_usage(self.usage, tier_of(self.service_tier)) if bytes(self.usage) != _NULL else None

    @property
    def when(self) -> int:
        return int(self.created) if isinstance(self.created, int | float) and 0 <= self.created < 2**53 else 0

    @property
    def only(self) -> _Choice | None:
        """The one choice that was asked for. Raises: WireError when there are others."""
        if not self.choices:
            return None
        if len(self.choices) > 1 or self.choices[0].index:
            raise WireError("the provider gave more answers than the one that was asked for")
        return self.choices[0]


_completion = msgspec.json.Decoder(_Completion).decode
_NULL = b"null"


def _read(data: bytes) -> _Completion:
    try:
        return _completion(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("the provider's answer is not a chat completion") from None


def hear(body: bytes) -> Answer:
    """A whole answer. Raises: WireError."""
    completion = _read(body)
    if completion.error is not None:
        raise ErrorAnswer(status_in(body))
    choice = completion.only
    if choice is None or choice.message is None:
        raise WireError("the provider's answer has no message")
    blocks = [Block(kind, text) for kind, text in choice.message.texts()]
    for call in choice.message.tool_calls or ():
        if not call.function.name:
            raise WireError("the provider's answer calls a tool without a name")
        blocks.append(Block(CALL, call.function.arguments or "", call.id or "", call.function.name))
    return Answer(tuple(blocks), choice.end(), completion.used(), completion.when)


class _Naming:
    """A call until its name has come."""

    def __init__(self, key: int, id: str) -> None:
        self.key = key
        self.id = id
        self.name = ""
        self.held = ""


class ChatHearer:
    """One stream. A call is known by its index; some servers give all the same index, or none, and tell calls apart by their ids."""

    def __init__(self) -> None:
        self._calls: dict[int, _Naming] = {}  # by index: the newest
        self._count = 0
        self._began = False

    def hear(self, event: Event) -> list[Heard]:
        """See `Hearer`."""
        if event.data.startswith(b"[DONE]"):
            if any(not call.name for call in self._calls.values()):
                raise WireError("the provider's answer calls a tool without a name")
            return [Done()]
        completion = _read(event.data)
        if event.name == "error" or completion.error is not None:
            return [Failed(status_in(event.data))]
        heard: list[Heard] = []
        if not self._began:
            self._began = True
            heard.append(Began(completion.when, completion.id if isinstance(completion.id, str) else None, tier_of(completion.service_tier)))
        choice = completion.only
        if choice is not None:
            heard += self._choice(choice)
        if bytes(completion.usage) != _NULL:
            heard.append(Counted(completion.used()))
        return heard

    def _choice(self, choice: _Choice) -> list[Heard]:
        heard: list[Heard] = []
        if choice.delta is not None:
            heard += [Piece(kind, kind, text) for kind, text in choice.delta.texts()]
            for call in choice.delta.tool_calls or ():
                heard += self._call(call)
        if choice.finish_reason is not None:
            heard.append(Ended(choice.end()))
        return heard

    def _call(self, call: _Call) -> list[Heard]:
        index = call.index or 0
        known = self._calls.get(index)
        if known is None or (call.id and known.id and call.id != known.id and call.function.name):
            known = self._calls[index] = _Naming(self._count, call.id or "")
            self._count += 1
        known.id = known.id or call.id or ""
        text = call.function.arguments or ""
        if known.name:
            return [Piece(CALL + str(known.key), CALL, text)]
        known.held += text
        known.name = call.function.name or ""
        return [Piece(CALL + str(known.key), CALL, known.held, known.id, known.name)] if known.name else []
