"""A stream of one API, rewritten into that of another: what is heard from the provider, put in order, and told to the client."""

from collections.abc import Callable

from ollm.errors import ErrorAnswer, WireError
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
from ollm.wire.rewriting import EventRewriter
from ollm.wire.sse import Event


class Relay(EventRewriter):
    """A stream of one API, told in another."""

    def __init__(self, hearer: Hearer, teller: Teller, mint: Callable[[int], str]) -> None:
        super().__init__()
        self._hearer = hearer
        self._teller = teller
        self._order = Order(teller, mint)
        self._began = False
        self._end: End | None = None
        self._called = False  # whether there was a call: some say "stop" even so

    def _rewrite(self, events: list[Event], output: list[bytes]) -> None:
        for event in events:
            for heard in self._hearer.hear(event):
                output.append(self._tell(heard))
                if self.done or self.failed:
                    return

    def _tell(self, heard: Heard) -> bytes:
        if isinstance(heard, Began):
            return self._begin(heard)
        if isinstance(heard, Counted):
            self.usage = heard.usage or self.usage
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
        if not self._began:
            raise ErrorAnswer(heard.status)
        self.failed, self.fault = True, ErrorAnswer(heard.status)
        return self._teller.fail()

    def _begin(self, began: Began) -> bytes:
        if self._began:
            return b""
        self._began = True
        self.provider_id, self.tier = began.provider_id, began.tier
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
        return self._order.finish(cut=cut) + self._teller.end(reasoned(self._end, self._called), self.usage)


def reasoned(end: End, called: bool) -> End:
    """The end of an answer, of which some providers say "stop" although it calls tools: clients look there for whether to run them."""
    return End(CALLS) if called and end.reason == STOP else end
