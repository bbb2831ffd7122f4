"""Holds one verified session per upstream: single flight, renewal before expiry, re-verification on a key change.

While nothing valid is held, requests wait for the running verification (bounded by the caller) or are refused; they are
never sent. A refusal puts the upstream into quarantine: for a while, longer with each refusal in a row, requests are refused with what was
found, without asking again; then it is verified anew, whether somebody asks or not. One that held until now is asked twice before that: its
keys may have changed between two answers of the first verification.

A session that is replaced is drained: it takes no more requests, and those on their way finish.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from ollm.net import spread
from ollm.ports import Clock, Sessions
from ollm.upstream.session import Route, UnattestedRoute, Unverified, VerifiedSession
from ollm.values.checks import Appraisal

_RENEW_AT = 0.7  # of a session's life, plus up to 0.15 of jitter, so that many upstreams don't verify at once
_REFUSAL_SECONDS = 2.0  # the first quarantine; each refusal in a row doubles it
_LONGEST_QUARANTINE = 300.0
_RETRY_SECONDS = 15.0  # between background attempts while an older session still holds


class State(msgspec.Struct, frozen=True):
    """What people may see of an upstream's verification."""

    upstream: str
    session_id: str | None
    verified_at: int | None
    expires_at: int | None
    last_result: str  # verified | refused | never | not_attested
    reason: str | None  # of the last refusal
    appraisal: Appraisal | None
    checked_at: int | None = None  # Unix seconds of the last verdict
    retry_at: int | None = None  # of the next verification, while in quarantine
    refusals: int = 0  # in a row
    available: bool = False  # a request that came now would be sent
    machines: "tuple[State, ...]" = ()  # where the upstream has several: each of them, with its host as `upstream`


class Held(Protocol):
    """What the request path asks of an upstream, verified or not. Contract: `session` raises Unverified or TimeoutError, never waits longer."""

    name: str

    def held(self) -> Route | None: ...  # the one to send a request over now: of several it may be another each time

    def sessions(self) -> Sequence[Route]: ...  # all that hold now: of several machines, where the upstream has them

    async def session(self, timeout: float, since: int = 0) -> Route: ...  # verified at `since` (Unix seconds) or later

    def distrust(self, session: Route) -> None: ...

    def state(self) -> State: ...

    async def close(self) -> None: ...


class OpenRoute:
    """`Held` for a provider without evidence: always there, and never verified."""

    def __init__(self, name: str, make: Callable[[], UnattestedRoute]) -> None:
        self.name = name
        self._make = make
        self._route = make()

    def held(self) -> UnattestedRoute:
        return self._route

    def sessions(self) -> tuple[UnattestedRoute, ...]:
        return (self._route,)

    async def session(self, timeout: float, since: int = 0) -> UnattestedRoute:
        return self._route

    def distrust(self, session: Route) -> None:
        """Its connections are closed, and new ones are made."""
        if self._route is session:
            session.close()
            self._route = self._make()

    def state(self) -> State:
        return State(self.name, None, None, None, "not_attested", None, None, available=True)

    async def close(self) -> None:
        self._route.close()


class Keeper:
    """Sessions of one upstream. `establish` makes a new one or raises Unverified."""

    def __init__(self, name: str, establish: Callable[[], Awaitable[VerifiedSession]], clock: Clock, archive: Sessions) -> None:
        self.name = name
        self._establish = establish
        self._clock = clock
        self._archive = archive
        self._session: VerifiedSession | None = None
        self._running: asyncio.Task[VerifiedSession] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._refusal: tuple[float, Unverified] | None = None
        self._refusals = 0
        self._last: Appraisal | None = None
        self._last_reason: str | None = None
        self._checked_at: int | None = None
        self._closed = False

    def held(self) -> VerifiedSession | None:
        """The valid session, if there is one now."""
        session = self._session
        if session is not None and self._clock.now() < session.expires_at:
            return session
        return None

    def sessions(self) -> tuple[VerifiedSession, ...]:
        """The valid session, if there is one."""
        session = self.held()
        return () if session is None else (session,)

    async def session(self, timeout: float, since: int = 0) -> VerifiedSession:
        """A valid session that was verified at `since` (Unix seconds) or later, verifying now if none is held. Raises: Unverified, TimeoutError."""
        session = self.held()
        if session is not None and session.established_at >= since:
            return session
        if self._refusal is not None and self._clock.monotonic() < self._refusal[0]:
            raise Unverified(self._refusal[1].appraisal)  # anew: one exception raised for many requests collects all their frames
        # Shielded: a client that leaves must not stop a verification that others wait for.
        return await asyncio.wait_for(asyncio.shield(self._verify()), timeout)

    def _verify(self) -> "asyncio.Task[VerifiedSession]":
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run(), name=f"verify {self.name}")
            self._running.add_done_callback(_retrieve)
        return self._running

    async def _run(self) -> VerifiedSession:
        try:
            session = await self._established()
            # Stored before it is used: a receipt must never cite a session that can't be fetched.
            await self._archive.put(session.session_id, self.name, session.expires_at, session.document)
        except Unverified as refusal:
            self._quarantine(refusal)
            raise
        except Exception:
            self._renew_in(_RETRY_SECONDS)
            raise
        old, self._session = self._session, session
        self._refusal, self._refusals = None, 0
        self._noted(session.appraisal, None, session.established_at)
        if old is not None:
            old.close()
        self._renew_in((session.expires_at - session.established_at) * spread.between(_RENEW_AT, _RENEW_AT + 0.15))
        return session

    async def _established(self) -> VerifiedSession:
        try:
            return await self._establish()
        except Unverified:
            if self._last is None or self._last_reason is not None:
                raise
        return await self._establish()

    def _quarantine(self, refusal: Unverified) -> None:
        self._noted(refusal.appraisal, refusal.reason, self._clock.now())
        self._refusals += 1
        pause = _RETRY_SECONDS
        if self.held() is None:
            doublings = min(self._refusals - 1, 16)
            pause = min(_REFUSAL_SECONDS * 2**doublings, _LONGEST_QUARANTINE) * spread.between(0.75, 1.25)
        self._refusal = (self._clock.monotonic() + pause, refusal)
        self._renew_in(pause)

    def _noted(self, appraisal: Appraisal, reason: str | None, at: int) -> None:
        self._last, self._last_reason, self._checked_at = appraisal, reason, at

    def _renew_in(self, seconds: float) -> None:
        if self._closed:
            return
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = asyncio.get_running_loop().call_later(max(seconds, 1.0), self._verify)

    def distrust(self, session: Route) -> None:
        """The peer showed another key than `session` binds: drop it and verify anew."""
        if self._session is session:
            self._session = None
            session.close()
            if not self._closed:
                self._verify()

    def state(self) -> State:
        session = self.held()
        result = "never" if self._last is None else "refused" if self._last_reason is not None else "verified"
        pause = self._refusal[0] - self._clock.monotonic() if self._refusal is not None else 0.0
        return State(
            self.name,
            session.session_id if session else None,
            session.established_at if session else None,
            session.expires_at if session else None,
            result,
            self._last_reason,
            self._last,
            checked_at=self._checked_at,
            retry_at=self._clock.now() + math.ceil(pause) if pause > 0 else None,
            refusals=self._refusals,
            available=session is not None,
        )

    async def close(self) -> None:
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._session is not None:
            self._session.close()


def _retrieve(task: "asyncio.Task[VerifiedSession]") -> None:
    # A background renewal that fails has told `state` why; asyncio would print the exception otherwise.
    if not task.cancelled():
        task.exception()
