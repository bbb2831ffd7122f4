"""Random bytes for ids and nonces, drawn from the kernel a few pages at a time: a call for each would be two system calls a request.

One process, one event loop: nothing forks after the first draw, so no two holders can have the same bytes.
"""

import os

_DRAW = 8192


class Entropy:
    """`take(n)` gives `n` bytes of the kernel's random generator, each byte once."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """`size` fresh random bytes, at most 8192."""
        at = self._at
        if at + size > len(self._pool):
            self._pool, at = os.urandom(_DRAW), 0
        self._at = at + size
        return self._pool[at : at + size]

    def __repr__(self) -> str:
        return "<entropy>"


entropy = Entropy()
