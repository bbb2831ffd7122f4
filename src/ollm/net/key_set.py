"""The keys of one token issuer, fetched or read from a file, and kept for as long as the configuration lets them be.

every 5 minutes     they are looked at anew, while requests go on with those that are held: a key that the issuer took back is out by then
an unknown key      is looked for at once, a minute after the last look at the earliest: nobody can make us ask more often than that
`stale` later       what could not be fetched anew is not believed any more, and no token of this issuer is accepted
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from ollm.errors import UpstreamError, WireError
from ollm.ports import Clock, Fetch
from ollm.wire.jwk import MAX_KEY_SET, KeySet, PublicKey, parse_key_set

FRESH_SECONDS = 300.0
UNKNOWN_SECONDS = 60.0

Read = Callable[[], Awaitable[bytes]]


class IssuerKeys:
    """Used on one event loop. `read` brings the document, and raises UpstreamError where it can't; `stale` in seconds."""

    def __init__(self, read: Read, clock: Clock, *, stale: float) -> None:
        self._read = read
        self._clock = clock
        self._stale = stale
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._tried_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self.problem: str | None = None  # what the last look came to, where it failed

    def held(self, key_id: str, algorithm: str) -> PublicKey | None:
        """The key of this name for `algorithm`, of those that are believed now."""
        if self._keys is None or self._clock.monotonic() - self._read_at > self._stale:
            return None
        return self._keys.find(key_id, algorithm)

    async def find(self, key_id: str, algorithm: str) -> PublicKey | None:
        """The same; one that isn't held is looked for."""
        key = self.held(key_id, algorithm)
        if key is not None:
            if self._tried_at is None or self._clock.monotonic() - self._tried_at > FRESH_SECONDS:
                self._look()
            return key
        if self._reading is None and self._tried_at is not None and self._clock.monotonic() - self._tried_at < UNKNOWN_SECONDS:
            return None
        await asyncio.shield(self._look())  # others may wait for it when this request's client leaves
        return self.held(key_id, algorithm)

    async def refresh(self) -> None:
        """Look now. Raises: nothing; `problem` says what it came to."""
        await asyncio.shield(self._look())

    def _look(self) -> "asyncio.Task[None]":
        if self._reading is None:
            self._tried_at = self._clock.monotonic()
            self._reading = asyncio.get_running_loop().create_task(self._looked(), name="keys of a token issuer")
        return self._reading

    async def _looked(self) -> None:
        try:
            self._keys = parse_key_set(await self._read())
            self._read_at, self.problem = self._clock.monotonic(), None
        except (UpstreamError, WireError) as problem:
            self.problem = str(problem)
        finally:
            self._reading = None

    async def close(self) -> None:
        """End a look that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])


def from_url(url: str, fetch: Fetch) -> Read:
    """Reads the document at `url`."""

    async def read() -> bytes:
        answer = await fetch.get(url)
        if answer.status != 200:
            raise UpstreamError("headers", f"the issuer's keys were answered with {answer.status}", status=answer.status)
        return answer.body

    return read


def from_file(path: Path) -> Read:
    """Reads the document in the file at `path`."""

    def content() -> bytes:
        with path.open("rb") as file:
            return file.read(MAX_KEY_SET + 1)

    async def read() -> bytes:
        try:
            return await asyncio.to_thread(content)
        except OSError as problem:
            raise UpstreamError("connect", f"can't read the issuer's keys: {problem.strerror}") from None

    return read
