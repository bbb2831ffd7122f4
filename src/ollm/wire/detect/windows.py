"""A text that comes in pieces, screened as if it had come whole.

What a match might still begin in is held back: of most texts the last word or number, never more than the longest match. The rest goes out at
once. A window keeps a few characters that went out, since what stands before a match counts.
"""

from ollm.wire.detect.detector import CONTEXT
from ollm.wire.detect.screen import Screen, merged, written

_KEPT = CONTEXT + 80  # a candidate's context, and what may stand before the place where it is looked for


class Window:
    """One text. It holds content, so it has no repr, and lives as long as its stream."""

    __slots__ = ("_acted", "_buffer", "_open", "_out", "_screen")

    def __init__(self, screen: Screen, acted: set[str]) -> None:
        self._screen = screen
        self._acted = acted
        self._buffer = ""
        self._out = 0  # characters of the buffer that went out
        self._open: tuple[str, int] = ("", 0)  # a buffer, and from where on it is open

    def __repr__(self) -> str:
        return "<window>"

    @property
    def held(self) -> bool:
        """Whether something is held back."""
        return len(self._buffer) > self._out

    def push(self, text: str) -> str:
        """`text` came; what may go out now. Raises: RuleBlocked."""
        self._buffer += text
        known, limit = self._open
        return self._release(limit if known == self._buffer else self._screen.open_from(self._buffer))

    def through(self, text: str) -> bool:
        """`text` came, and no match is in it by itself: whether it may go out at once, and is gone with that. If not, `push` it."""
        if self.held:
            return False
        buffer = self._buffer + text
        limit = self._screen.open_from(buffer)
        if limit < len(buffer):
            self._open = buffer, limit
            return False
        self._buffer = buffer[-_KEPT:]
        self._out = len(self._buffer)
        return True

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
