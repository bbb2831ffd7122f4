"""What answers inside the enclave: the contract, and the built-in responder behind it."""

import asyncio
import enum
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from ollm.errors import UpstreamError
from ollm.ports import Clock
from ollm.sim.responder import Answer, Responder
from ollm.values.secret import Hidden

EVENT_STREAM = b"text/event-stream"
JSON = b"application/json"


async def _nothing_to_close() -> None:
    pass


class Operation(enum.StrEnum):
    """What can be asked of an engine; the values are paths below /v1."""

    CHAT = "chat/completions"
    EMBEDDINGS = "embeddings"
    MODELS = "models"


class Reply(Hidden, frozen=True, kw_only=True):
    """An answer on its way. Whoever takes it iterates `chunks` and in the end awaits `close()`, also when it gives up early.

    `chunks` raises UpstreamError when the answer breaks off: what was sent until then must not look complete.
    """

    status: int = 200
    content_type: bytes = JSON
    length: int | None = None  # bytes of the whole body, when that is known; unknown lets the headers go ahead of the body
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]] = _nothing_to_close

    @property
    def streamed(self) -> bool:
        return self.content_type.startswith(EVENT_STREAM)

    def __repr__(self) -> str:
        return f"Reply(status={self.status})"


# `answer` raises ApiError when there is nothing to relay. Cancelling it, or closing the reply, stops the work behind it.
class Engine(Protocol):
    async def answer(self, operation: Operation, body: bytes) -> Reply: ...

    async def close(self) -> None: ...


class BuiltIn:
    """`Engine` over the deterministic responder: keeps its pace, and its breaks."""

    def __init__(self, responder: Responder, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock

    async def answer(self, operation: Operation, body: bytes) -> Reply:
        """Raises: ApiError."""
        match operation:
            case Operation.CHAT:
                answer = self._responder.chat(body, chat_id="chatcmpl-" + os.urandom(12).hex(), now=self._clock.now())
            case Operation.EMBEDDINGS:
                answer = self._responder.embeddings(body)
            case Operation.MODELS:
                answer = self._responder.list_models()
        await _wait(answer.pace.headers)
        length = None if answer.streamed or answer.cut or answer.pace.first else len(answer.parts[0])
        return Reply(content_type=EVENT_STREAM if answer.streamed else JSON, length=length, chunks=_paced(answer))

    async def close(self) -> None:
        """Nothing is held open."""


async def _paced(answer: Answer) -> AsyncIterator[bytes]:
    await _wait(answer.pace.first)
    for index, part in enumerate(answer.parts):
        if index:
            await _wait(answer.pace.event)
        yield part
    if answer.cut:
        raise UpstreamError("stream", "the simulated connection breaks here")


async def _wait(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
