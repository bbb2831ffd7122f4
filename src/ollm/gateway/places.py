"""How many requests are served at once, and how much room the bodies of those may take that are still on their way in.

A request takes its place once its body is there: a caller who sends bodies slowly keeps nobody else from being served. What those bodies
hold together is bounded instead.
"""

import asyncio

from ollm.errors import ApiError

_LARGEST_AT_ONCE = 64  # bodies of the largest size, or as many bytes in smaller ones

_LOOK_SECONDS = 0.1  # between two looks at whether all are gone: nobody waits for it but what is closed then


class Places:
    """Of one process. `limit`: requests at once; `max_body`: bytes of the largest body."""

    __slots__ = ("_limit", "_receiving", "_room", "running")

    def __init__(self, limit: int, max_body: int) -> None:
        self._limit = limit
        self._room = _LARGEST_AT_ONCE * max_body
        self.running = 0  # requests, from the head of each to the end of its answer: the caller counts them
        self._receiving = 0

    async def emptied(self) -> None:
        """Wait until none is left that was served here."""
        while self.running:  # noqa: ASYNC110 - each request counts here; telling an event as well would cost each of them
            await asyncio.sleep(_LOOK_SECONDS)

    def check(self) -> None:
        """Raises: ApiError 503 when this request is one too many."""
        if self.running - self._receiving > self._limit:
            raise _overloaded("The gateway serves as many requests as it may; try again shortly.")

    def receiving(self) -> "Incoming":
        """The body of a request that counts among the running ones; `with` that, until all of it is there."""
        return Incoming(self)


class Incoming:
    """One body on its way in."""

    __slots__ = ("_held", "_places")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._held = 0

    def __enter__(self) -> "Incoming":
        self._places._receiving += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._places._receiving -= 1
        self._places._room += self._held

    def came(self, size: int) -> None:
        """`size` bytes more are held. Raises: ApiError 503 when all of those bodies together take too much room."""
        self._places._room -= size
        self._held += size
        if self._places._room < 0:
            raise _overloaded("The gateway receives as much as it may hold; try again shortly.")


def _overloaded(message: str) -> ApiError:
    return ApiError(503, "api_error", "overloaded", message, headers={"retry-after": "1"})
