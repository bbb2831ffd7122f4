"""An answer as every API can say it: blocks of text, reasoning, refusal and tool calls, then an end. Hearers make it, tellers say it.

A stream comes as pieces, each with the key of its block, and as the events that stand about them.
"""

from collections.abc import Hashable
from typing import Protocol, TypeAlias

from ollm.values.secret import Hidden
from ollm.values.usage import Tier, Usage
from ollm.wire.sse import Event

TEXT, REASONING, REFUSAL, CALL = "text", "reasoning", "refusal", "call"  # kinds of blocks
STOP, LENGTH, CALLS, FILTERED = "stop", "length", "calls", "filtered"  # why an answer ended


class Block(Hidden, frozen=True):
    """One block. Of a call, `text` is its arguments; of a block in a stream, `text` is empty and `number` counts from 0."""

    kind: str
    text: str = ""
    id: str = ""  # of a call, as the provider has it; "" when it has none
    name: str = ""
    number: int = 0


class End(Hidden, frozen=True):
    """Why the answer ended. `sequence`: the text that ended it, where the provider says so."""

    reason: str
    sequence: str | None = None


class Answer(Hidden, frozen=True):
    """A whole answer. `created`: Unix time by the provider, 0 when it doesn't say."""

    blocks: tuple[Block, ...]
    end: End
    usage: Usage | None
    created: int = 0


class Began(Hidden, frozen=True):
    created: int = 0
    provider_id: str | None = None
    tier: Tier | None = None


class Piece(Hidden, frozen=True):
    """More of the block `key`. The first one of a call has its name."""

    key: Hashable
    kind: str
    text: str
    id: str = ""
    name: str = ""


class Closed(Hidden, frozen=True):
    """Nothing more comes for the block `key`. APIs that don't say so are believed when the next block begins."""

    key: Hashable


class Ended(Hidden, frozen=True):
    end: End


class Counted(Hidden, frozen=True):
    usage: Usage | None


class Failed(Hidden, frozen=True):
    """The provider sent an error; its text stays here. `status`: the HTTP status that it stands for; None: it doesn't say."""

    status: int | None = None


class Done(Hidden, frozen=True):
    """The end mark of the stream."""


Heard: TypeAlias = Began | Piece | Closed | Ended | Counted | Failed | Done


class Hearer(Protocol):
    """Understands one stream of a provider."""

    def hear(self, event: Event) -> list[Heard]:
        """What the event says. Raises: WireError."""


class Teller(Protocol):
    """Says one stream to a client. At most one block is open at a time. `cut`: the answer ended before the block did."""

    def begin(self, began: Began) -> bytes: ...

    def open(self, block: Block) -> bytes: ...

    def say(self, block: Block, text: str) -> bytes: ...

    def close(self, block: Block, *, cut: bool) -> bytes: ...

    def end(self, end: End, usage: Usage | None) -> bytes: ...

    def fail(self) -> bytes:
        """An error event in our words, that ends the stream."""
