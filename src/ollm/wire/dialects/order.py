"""Blocks one after another, from pieces that come in any order: clients of Messages and Responses expect a block to end before the next begins.

The open block is said as it comes. Text is over when something else begins. A tool call is over when the provider says so, or else when
its arguments are one whole JSON value; what begins before that waits for it. So nothing waits but what a provider really interleaved.
"""

import re
from collections import deque
from collections.abc import Callable, Hashable

from ollm.errors import WireError
from ollm.wire.dialects.pieces import CALL, Block, Piece, Teller

_MARK = re.compile(r'\\.|\\$|["{}\[\]]', re.DOTALL)


class Brackets:
    """Whether JSON text that comes in fragments has come to its end: an object or a list, all brackets closed."""

    def __init__(self) -> None:
        self.whole = False
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def feed(self, text: str) -> None:
        """The next fragment."""
        start = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        for match in _MARK.finditer(text, start):
            mark = match[0]
            if self._quoted:
                self._quoted = mark != '"'
                self._escaped = mark == "\\"
            elif mark == '"':
                self._quoted = True
            elif mark in "{[":
                self._depth += 1
            elif mark in "}]":
                self._depth -= 1
                self.whole = self.whole or self._depth == 0


class _Run:
    """A block while it lives: `held` is what waits to be said."""

    def __init__(self, first: Piece) -> None:
        self.key = first.key
        self.kind = first.kind
        self.id = first.id
        self.name = first.name
        self.held: list[str] = []
        self.over = first.kind != CALL
        self.block: Block | None = None
        self._brackets = Brackets()

    def add(self, text: str) -> None:
        if self.kind == CALL and not self.over:
            self._brackets.feed(text)
            self.over = self._brackets.whole


class Order:
    """Tells `teller` the blocks of one stream in turn. `mint` makes the id of a call that came without one, from the block's number."""

    def __init__(self, teller: Teller, mint: Callable[[int], str]) -> None:
        self._teller = teller
        self._mint = mint
        self._runs: dict[Hashable, _Run] = {}  # the newest of each key
        self._open: _Run | None = None
        self._waiting: deque[_Run] = deque()
        self._ended: set[Hashable] = set()  # calls that were closed
        self._count = 0

    def piece(self, piece: Piece) -> bytes:
        """What to send on. Raises: WireError for more of a call that was over."""
        if piece.kind == CALL and piece.key in self._ended:
            if piece.text.strip():
                raise WireError("the provider's stream goes on with a tool call that had ended")
            return b""
        run = self._runs.get(piece.key)
        if run is None:
            run = self._runs[piece.key] = _Run(piece)
            self._waiting.append(run)
        elif run.kind != piece.kind:
            raise WireError("the provider's stream goes on with a block as if it were another")
        run.held.append(piece.text)
        run.add(piece.text)
        return self._progress()

    def closed(self, key: Hashable) -> bytes:
        """The provider says that the block is over."""
        run = self._runs.get(key)
        if run is None:
            return b""
        run.over = True
        return self._progress(closing=key)

    def finish(self, *, cut: bool = False) -> bytes:
        """The answer is over, and all that waits with it. `cut`: its last block isn't whole."""
        for run in self._runs.values():
            run.over = True
        said = self._progress()
        return said + (self._close(self._open, cut=cut) if self._open is not None else b"")

    def _progress(self, closing: Hashable = None) -> bytes:
        """Say what can be said: the open block as far as it came, then those that wait, as long as the one before is over."""
        said: list[bytes] = []
        if self._open is not None:
            said.append(self._say(self._open))
        while self._waiting and (self._open is None or self._open.over):
            if self._open is not None:
                said.append(self._close(self._open))
            self._open = self._waiting.popleft()
            said += (self._begin(self._open), self._say(self._open))
        if closing is not None and self._open is not None and self._open.key == closing:
            said.append(self._close(self._open))
        return b"".join(said)

    def _begin(self, run: _Run) -> bytes:
        run.block = Block(run.kind, id=run.id or (self._mint(self._count) if run.kind == CALL else ""), name=run.name, number=self._count)
        self._count += 1
        return self._teller.open(run.block)

    def _say(self, run: _Run) -> bytes:
        text, run.held = "".join(run.held), []
        return self._teller.say(run.block, text) if text and run.block is not None else b""

    def _close(self, run: _Run, *, cut: bool = False) -> bytes:
        del self._runs[run.key]
        if run.kind == CALL:
            self._ended.add(run.key)
        self._open = None
        return self._teller.close(run.block, cut=cut) if run.block is not None else b""
