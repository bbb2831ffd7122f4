"""A stream of one API, rewritten into that of another: what is heard from the provider, put in order, and told to the client."""

from collections.abc import Callable

from ollm.errors import WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.counts import Counts
from ollm.wire.dialects.order import Order
from ollm.wire.dialects.pieces import (
    CALL,
    CALLS,
    FILTERED,
    LENGTH,
    STOP,
    Began,
    Closed,
    Counted,
    Done,
    End,
    Ended,
    Heard,
    Hearer,
    Piece,
    Teller,
)
from ollm.wire.sse import Event, EventParser


class Relay:
    """A `Rewriter` (wire/rewriting.py). After `done` or `failed`, whatever else comes is ignored."""

    def __init__(self, hearer: Hearer, teller: Teller, mint: Callable[[int], str]) -> None:
        self.usage: Usage | None = None
        self.provider_id: str | None = None
        self.content_events = 0
        self.done = False
        self.failed = False
        self._hearer = hearer
        self._teller = teller
        self._order = Order(teller, mint)
        self._parser = EventParser()
        self._began = False
        self._end: End | None = None
        self._counts: Counts | None = None
        self._called = False  # whether there was a call: some say "stop" even so
        self._broken: WireError | None = None

    @property
    def ended(self) -> bool:
        """Whether the provider's end mark or an error ended the stream."""
        return self.done or self.failed

    @property
    def saw_content(self) -> bool:
        return self.content_events > 0

    def close(self) -> bytes:
        """The body ended, and its end mark didn't come. Raises: WireError."""
        raise WireError("the stream ended without its end mark")

    def feed(self, data: bytes) -> bytes:
        """What to send on for `data`.

        Raises: WireError for what the provider's API doesn't define, or what the client's can't say. Good events before it in the same
        `data` are returned first, and the next call raises.
        """
        if self.ended:
            return b""
        if self._broken is not None:
            raise self._broken
        output: list[bytes] = []
        try:
            self._hear(self._parser.feed(data), output)
        except WireError as error:
            self._broken = error
            if not any(output):
                raise
        return b"".join(output)

    def _hear(self, events: list[Event], output: list[bytes]) -> None:
        for event in events:
            for heard in self._hearer.hear(event):
                output.append(self._tell(heard))
                if self.ended:
                    return

    def _tell(self, heard: Heard) -> bytes:
        if isinstance(heard, Began):
            return self._begin(heard)
        if isinstance(heard, Counted):
            self._counts = heard.counts or self._counts
            self.usage = self._counts.usage if self._counts is not None else None
            return b""
        if isinstance(heard, Ended):
            self._end = heard.end
            return b""
        if isinstance(heard, Piece):
            return self._piece(heard)
        if isinstance(heard, Closed):
            return self._order.closed(heard.key)
        if isinstance(heard, Done):
            return self._finish()
        self.failed = True
        return self._teller.fail()

    def _begin(self, began: Began) -> bytes:
        if self._began:
            return b""
        self._began = True
        self.provider_id = began.provider_id
        return self._teller.begin(began)

    def _piece(self, piece: Piece) -> bytes:
        if not self._began:
            raise WireError("the provider's stream has content before its beginning")
        self.content_events += bool(piece.text)
        self._called = self._called or piece.kind == CALL
        return self._order.piece(piece)

    def _finish(self) -> bytes:
        if self._end is None or not self._began:
            raise WireError("the provider's stream ended without a reason")
        self.done = True
        cut = self._end.reason in {LENGTH, FILTERED}
        return self._order.finish(cut=cut) + self._teller.end(reasoned(self._end, self._called), self._counts)


def reasoned(end: End, called: bool) -> End:
    """The end of an answer, of which some providers say "stop" although it calls tools: clients look there for whether to run them."""
    return End(CALLS) if called and end.reason == STOP else end
