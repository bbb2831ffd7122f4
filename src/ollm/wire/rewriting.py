"""What stands between a provider's answer and the client, for each form of answer: our id and model in, usage read, errors kept back.

A `Rewriter` sees a stream. `done`: it came to its end. `failed`: the provider sent an error, and the last thing that came out is our own
error event. `fault`: the error that it sent behind a good beginning, whether or not that ended the stream. `content_events`: pieces of content
that were handed out, the estimate of tokens for a stream that was cut. `provider_id`: how the provider names the answer. `tier`: the tier that
serves it, where the answer says so.
"""

from typing import Protocol

from ollm.errors import ErrorAnswer, WireError, let_go
from ollm.values.usage import Tier, Usage
from ollm.wire.sse import Event, EventParser


class Rewriter(Protocol):
    """Rewrites one stream. After `ended`, whatever else comes is ignored."""

    usage: Usage | None
    tier: Tier | None
    provider_id: str | None
    content_events: int
    done: bool
    failed: bool
    fault: ErrorAnswer | None

    @property
    def ended(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """What to send on for `data`, possibly nothing. The end of the stream, once seen, is in what the last call returned.

        Raises: ErrorAnswer for an error before any good event, WireError for what the API doesn't define; good events before it in the same
        `data` are returned first, and the next call raises.
        """

    def close(self) -> bytes:
        """The body ended. What is still to be sent on, for forms whose end is that of the body. Raises: WireError for a stream that was cut."""


class EventRewriter:
    """A `Rewriter` of events: base of those that differ in what becomes of one. `_event` says that, and sets what is seen in it."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.tier: Tier | None = None
        self.provider_id: str | None = None
        self.content_events = 0
        self.done = False
        self.failed = False
        self.fault: ErrorAnswer | None = None
        self._parser = EventParser()
        self._broken: WireError | None = None

    @property
    def ended(self) -> bool:
        """Whether the end mark or an error ended the stream; an upstream that closes before is a cut, not an end."""
        return self.done or self.failed

    @property
    def saw_content(self) -> bool:
        return self.content_events > 0

    def feed(self, data: bytes) -> bytes:
        """As `Rewriter.feed`; `done` stays False where it raises."""
        if self.done or self.failed:
            return b""
        if self._broken is not None:
            raise self._broken
        output: list[bytes] = []
        try:
            self._rewrite(self._parser.feed(data), output)
        except WireError as error:
            self._broken = error
            if not any(output):
                raise
            let_go(error)
        return output[0] if len(output) == 1 else b"".join(output)

    def close(self) -> bytes:
        """The body ended, and the end mark didn't come. Raises: WireError."""
        raise WireError("the stream ended without its end mark")

    def _rewrite(self, events: list[Event], output: list[bytes]) -> None:
        for event in events:
            output.append(self._event(event))
            if self.done or self.failed:
                return

    def _event(self, event: Event) -> bytes:
        """What to send on for one event. Raises: WireError."""
        raise NotImplementedError
