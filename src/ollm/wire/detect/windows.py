"""A text that comes in pieces, screened as if it had come whole.

What a match might still begin in is held back: of most texts the last word or number, never more than the longest match. The rest goes out at
once. A window keeps a few characters that went out, since what stands before a match counts.
"""

from ollm.wire.detect.detector import CONTEXT
from ollm.wire.detect.screen import Screen, merged, written

_KEPT = CONTEXT + 80  # a candidate's context, and what may stand before the place where it is looked for


class Window:
    """One text. It holds content, so it has no repr, and lives as long as its stream."""

    __slots__ = ("_acted", "_buffer", "_out", "_screen")

    def __init__(self, screen: Screen, acted: set[str]) -> None:
        self._screen = screen
        self._acted = acted
        self._buffer = ""
        self._out = 0  # characters of the buffer that went out

    def __repr__(self) -> str:
        return "<window>"

    @property
    def held(self) -> bool:
        """Whether something is held back."""
        return len(self._buffer) > self._out

    def push(self, text: str) -> str:
        """`text` came; what may go out now. Raises: RuleBlocked."""
        self._buffer += text
        return self._release(self._screen.open_from(self._buffer))

    def flush(self) -> str:
        """The text is over; what was held back. Raises: RuleBlocked."""
        return self._release(len(self._buffer))

    def _release(self, limit: int) -> str:
        out, limit = self._out, max(limit, self._out)
        hits = [hit for hit in self._screen.hits(self._buffer) if hit.start >= out]  # the others are done with
        covers = merged(hits, limit)
        while covers and covers[-1].end > limit:
            limit = min(limit, covers.pop().start)
        text = written(self._buffer, covers, self._acted, out, limit)
        drop = max(0, limit - _KEPT)
        self._buffer = self._buffer[drop:]
        self._out = limit - drop
        return text
