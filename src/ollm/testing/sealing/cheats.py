"""Ways in which a provider, or somebody on the way, answers wrongly."""

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

DONE = b"data: [DONE]\n\n"


class Cheat(Enum):
    """One way of cheating. PLAINTEXT, REFLECTED and what is done to the events of a stream take no key."""

    NONE = "none"
    SWAPPED_KEY = "sealed to another key than the client's, or under another secret"
    PLAINTEXT = "not sealed at all"
    REFLECTED = "a ciphertext of the request where the answer's is due"
    DROPPED = "one event of the stream left out"
    REORDERED = "two events of the stream swapped"
    DUPLICATED = "one event of the stream sent twice"
    TRUNCATED = "events before the end mark left out, the end mark sent"


class Refused(Exception):
    """The provider's side refuses a request. `type` is the provider's word for the reason, `status` its HTTP status."""

    def __init__(self, type: str, status: int = 400) -> None:
        super().__init__(type)
        self.type = type
        self.status = status


class Exchange(Protocol):
    """One request that was opened, and the answers to it."""

    @property
    def request(self) -> dict[str, Any]: ...

    def headers(self, cheat: Cheat = Cheat.NONE) -> dict[str, str]:
        """Headers of the answer that belong to the protocol."""

    def whole(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> bytes:
        """The body of a whole answer."""

    def stream(self, documents: Sequence[dict[str, Any]], cheat: Cheat = Cheat.NONE) -> list[bytes]:
        """The pieces of a streamed answer, with the end mark."""


def event(document: Any) -> bytes:
    """A server-sent event with `document` as its JSON."""
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def tampered(events: Sequence[bytes], cheat: Cheat, *, head: int = 0) -> list[bytes]:
    """`events` after what somebody without keys did to them. The first `head` of them and the last one stay in place.

    Between these there must be three at least.
    """
    out = list(events)
    middle = head + (len(out) - head) // 2
    if cheat is Cheat.DROPPED:
        del out[middle]
    elif cheat is Cheat.REORDERED:
        out[middle], out[middle - 1] = out[middle - 1], out[middle]
    elif cheat is Cheat.DUPLICATED:
        out.insert(middle, out[middle])
    elif cheat is Cheat.TRUNCATED:
        del out[middle:-1]
    return out
