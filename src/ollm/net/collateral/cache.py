"""The one cache before every vendor's service.

A copy is given out until its soft end without asking anybody. After that it is asked for anew, and while that fails the last good copy
serves on, to its hard end and never beyond. Answers that can't be read, that are not valid yet, or that are older than what is held
replace nothing. Requests for one artefact are one request; a failure is remembered for a moment, so that nobody is stampeded.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from ollm.errors import CollateralError, StoreError, UpstreamError
from ollm.net import spread
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.ports import Clock, Fetched

log = logging.getLogger("ollm.collateral")

Obtain = Callable[[], Awaitable[Fetched]]

_EARLIER = 0.1  # at most, of the time to the soft end, earlier, so that many copies are not asked for at once
_UNREACHABLE_SECONDS = 2.0  # how long a failure is remembered: as long as a keeper remembers a refusal
_REFUSED_SECONDS = 30.0  # the service answered, and asking again will hear the same
_LIMITED_SECONDS = 10.0  # after a 429 that names no time: AMD answers about one request in ten seconds
_LONGEST_PAUSE = 3600.0  # whatever a service asks for
_RELOAD_SECONDS = 60  # offline: how soon what was imported is noticed
_MAX_FAILURES = 4096


class Shelf(Protocol):
    """Where copies outlive the process. What it gives back is untrusted: only periods are looked at. Both calls block on files."""

    def read(self, key: Key, now: int) -> Artefact | None: ...

    def write(self, copy: Artefact, now: int) -> None: ...


class _Failure(msgspec.Struct, frozen=True):
    until: float  # monotonic
    problem: CollateralError


class CollateralCache:
    """Copies in memory, least recently used first out; behind them a shelf, if there is one."""

    def __init__(
        self, clock: Clock, *, shelf: Shelf | None = None, offline: bool = False, max_entries: int = 2048, max_bytes: int = 64 << 20
    ) -> None:
        """`offline`: never ask, use what the shelf has."""
        self._clock = clock
        self._shelf = shelf
        self._offline = offline
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._copies: OrderedDict[Key, tuple[float, Artefact]] = OrderedDict()  # with the (jittered) time of the next question
        self._bytes = 0
        self._failures: dict[str, _Failure] = {}  # by what was asked; by origin where the whole service wants to be left alone
        self._flights: dict[Key, asyncio.Task[Artefact]] = {}

    async def get(self, key: Key, obtain: Obtain) -> Artefact:
        """The copy for `key`, had by `obtain` if none that is fresh enough is held. Raises: CollateralError."""
        held = self._copies.get(key)
        if held is not None and self._clock.now() < held[0]:
            self._copies.move_to_end(key)
            return self._in_time(held[1])
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._fly(key, obtain), name=f"collateral {key.kind}")
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        try:
            # Shielded: a verification that is given up must not stop a fetch that others wait for.
            return self._in_time(await asyncio.shield(flight))
        except CollateralError as problem:
            raise problem.again() from None

    def held(self) -> tuple[Artefact, ...]:
        """What is in memory, longest unused first."""
        return tuple(copy for _, copy in self._copies.values())

    async def close(self) -> None:
        """End every fetch that is under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.wait(flights)

    def _landed(self, key: Key, flight: "asyncio.Task[Artefact]") -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # those who waited were told; asyncio would print it otherwise

    async def _fly(self, key: Key, obtain: Obtain) -> Artefact:
        held = await self._last_good(key)
        if held is not None and (self._offline or self._clock.now() < self._next_question(key)):
            return held
        if self._offline:
            raise CollateralError("connect", f"{key} is not in the store, and collateral.offline is set")
        remembered = self._remembered(key)
        if remembered is not None:
            if held is not None:
                return held
            raise remembered
        try:
            fresh = await self._ask(key, obtain, held)
        except CollateralError as problem:
            self._failed(key, problem)
            if held is not None and self._clock.now() < held.term.end:
                log.warning("collateral not renewed", extra={"kind": key.kind, "reason": problem.reason})
                return held
            raise
        self._failures.pop(key.identity, None)
        if fresh.term.start <= self._clock.now():  # one from the future is for appraisal to refuse, and not kept
            self._keep(fresh)
            await self._shelve(fresh)
        return fresh

    async def _last_good(self, key: Key) -> Artefact | None:
        """The copy in memory or on the shelf, if its time is not over."""
        held = self._copies.get(key)
        copy = held[1] if held is not None else None
        if copy is None or (self._offline and self._clock.now() >= self._next_question(key)):
            shelved = await self._unshelve(key)
            if shelved is not None and (copy is None or not shelved.term.before(copy.term)):
                copy = shelved
            if copy is not None:
                self._keep(copy, ask_at=self._clock.now() + _RELOAD_SECONDS if self._offline else self._unasked_until(copy))
        if copy is not None and self._clock.now() >= copy.term.end:
            self._drop(key)
            return None
        return copy

    def _unasked_until(self, shelved: Artefact) -> float:
        """What lay on a disk is asked for anew at once, unless it can't have changed: who wrote there may have written the time as well."""
        return shelved.term.end if shelved.key.traits.refresh is None else 0.0

    async def _ask(self, key: Key, obtain: Obtain, held: Artefact | None) -> Artefact:
        try:
            async with asyncio.timeout(key.traits.seconds):
                answer = await obtain()
        except CollateralError:
            raise
        except UpstreamError as problem:
            raise CollateralError(problem.phase, problem.reason, status=problem.status) from None
        except TimeoutError:
            raise CollateralError("connect", f"no {key} in time") from None
        now = self._clock.now()
        fresh = artefact(key, answer.body, answer.headers, now)
        if now >= fresh.term.end:
            raise CollateralError("stream", f"{key}: its time was over {now - fresh.term.end} s ago", ended=True)
        if held is not None and now < held.term.end:
            if fresh.term.start > now:
                raise CollateralError("stream", f"{key}: its time is yet to come")
            if fresh.term.before(held.term):
                raise CollateralError("stream", f"{key}: older than the copy that is held")
        return fresh

    def _remembered(self, key: Key) -> CollateralError | None:
        """Why `key` is not asked for just now, if so."""
        for name in (key.identity, key.origin):
            failure = self._failures.get(name)
            if failure is not None and self._clock.monotonic() < failure.until:
                return failure.problem
        return None

    def _failed(self, key: Key, problem: CollateralError) -> None:
        name, seconds = key.identity, _UNREACHABLE_SECONDS
        if problem.status == 429 or problem.retry_after is not None:
            name, seconds = key.origin, min(max(problem.retry_after or 0.0, _LIMITED_SECONDS), _LONGEST_PAUSE)
        elif problem.status is not None and problem.status < 500:
            seconds = _REFUSED_SECONDS
        now = self._clock.monotonic()
        if len(self._failures) >= _MAX_FAILURES:
            self._failures = {each: failure for each, failure in self._failures.items() if now < failure.until}
        if len(self._failures) < _MAX_FAILURES:
            self._failures[name] = _Failure(now + seconds * spread.between(1.0, 1.25), problem)

    def _keep(self, copy: Artefact, *, ask_at: float | None = None) -> None:
        if ask_at is None:
            ask_at = copy.soft_end - (copy.soft_end - self._clock.now()) * spread.between(0.0, _EARLIER)
        self._drop(copy.key)
        self._copies[copy.key] = (ask_at, copy)
        self._bytes += copy.size
        while len(self._copies) > 1 and (len(self._copies) > self._max_entries or self._bytes > self._max_bytes):
            self._drop(next(iter(self._copies)))

    def _drop(self, key: Key) -> None:
        dropped = self._copies.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped[1].size

    def _next_question(self, key: Key) -> float:
        held = self._copies.get(key)
        return held[0] if held is not None else 0.0

    def _in_time(self, copy: Artefact) -> Artefact:
        """The one door out: nothing leaves beyond its hard end."""
        if self._clock.now() >= copy.term.end:
            raise CollateralError("stream", f"{copy.key}: its time is over", ended=True)
        return copy

    async def _shelve(self, copy: Artefact) -> None:
        if self._shelf is None or not copy.key.traits.stored:
            return
        try:
            await asyncio.to_thread(self._shelf.write, copy, self._clock.now())
        except StoreError:  # the copy in memory is as good; only a restart will miss this one
            log.warning("collateral not stored", extra={"kind": copy.key.kind})

    async def _unshelve(self, key: Key) -> Artefact | None:
        if self._shelf is None or not key.traits.stored:
            return None
        return await asyncio.to_thread(self._shelf.read, key, self._clock.now())
