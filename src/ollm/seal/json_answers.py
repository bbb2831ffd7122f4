"""Answers whose JSON is sealed in its fields: a whole body is one document, a stream is one document in each event.

What the protocols of fields leave to the layer above: [DONE] and the comments of a stream are in the clear, so they prove no end.
"""

from ollm.errors import SealError
from ollm.seal.cipher import Failing
from ollm.wire.sse import EventParser, data_event

DONE = b"[DONE]"


class JsonAnswer(Failing):
    """Base of openers: `_document` opens one JSON document; whole bodies and streams are made of them here."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        super().__init__()
        self._events = EventParser()

    def _document(self, data: bytes) -> bytes:
        raise NotImplementedError

    def whole(self, data: bytes) -> bytes:
        """A whole body, opened. Raises: SealError."""
        self._check()
        try:
            return self._document(data)
        except SealError as problem:
            raise self._fail(problem) from None

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes, opened. Raises: SealError; WireError for an event that never ends."""
        self._check()
        try:
            return b"".join([self._event(event.name, event.data) for event in self._events.feed(data)])
        except SealError as problem:
            raise self._fail(problem) from None

    def _event(self, name: str, data: bytes) -> bytes:
        if data == DONE:
            return data_event(DONE)
        opened = self._document(data)
        if b"\n" in opened or b"\r" in opened:  # white space of JSON; in an event it would end the line
            opened = opened.replace(b"\n", b" ").replace(b"\r", b" ")
        return b"event: " + name.encode() + b"\n" + data_event(opened) if name else data_event(opened)

    def finish(self) -> None:
        """The stream ended. Raises: SealError FRAMING_TRUNCATED inside an event."""
        self._check()
        if self._events.cut:
            raise self._fail(SealError("FRAMING_TRUNCATED", "the stream ended inside an event"))
