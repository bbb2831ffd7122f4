"""What stands between a provider's answer and the client, for each form of answer: our id and model in, usage read, errors kept back.

A `Rewriter` sees a stream. `done`: it came to its end. `failed`: the provider sent an error, and the last thing that came out is our own
error event. `content_events`: pieces of content that were handed out, the estimate of tokens for a stream that was cut.
`provider_id`: how the provider names the answer.
"""

from typing import Protocol

from ollm.values.usage import Usage


class Rewriter(Protocol):
    """Rewrites one stream. After `ended`, whatever else comes is ignored."""

    usage: Usage | None
    provider_id: str | None
    content_events: int
    done: bool
    failed: bool

    @property
    def ended(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """What to send on for `data`, possibly nothing. The end of the stream, once seen, is in what the last call returned.

        Raises: ErrorAnswer for an error before any good event, WireError for what the API doesn't define; good events before it in the same
        `data` are returned first, and the next call raises.
        """

    def close(self) -> bytes:
        """The body ended. What is still to be sent on, for forms whose end is that of the body. Raises: WireError for a stream that was cut."""
