"""A circuit breaker: whether a route is worth a request now, learnt from what became of those before.

    state      event                                             becomes
    closed     `failures` in a row, or `rate` of the last `window`    open, for `open_seconds`
    open       its time is over, and a request comes             half open; that request is the probe
    half open  an answer                                         closed
    half open  a failure                                         open, for twice as long, up to `max_open_seconds`
    half open  the probe's client left                           open, and due

What is counted are requests, not attempts: one that is sent over a route again has one verdict there, the last. An answer that begins well is
one from then on, and becomes a failure where it breaks off, in the place where it began.

Failures are connections that can't be had or break, time-outs, answers of 500 and above, answers that can't be opened or read, and errors behind
a good beginning. An error that is the client's is an answer. Refusals of trust are not counted here at all: a machine that is not verified has a
quarantine of its own. While it is open, a verdict on a request that began before changes nothing but for an answer, which closes it.
"""

import collections
import enum
import itertools
from typing import Annotated

import msgspec

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class BreakerRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a route is left alone, and for how long."""

    failures: Annotated[int, msgspec.Meta(ge=0)] = 10  # in a row; 0: the breaker never opens
    window: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 40  # requests over which the rate is taken, once there are so many
    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    open_seconds: _Positive = 5.0
    max_open_seconds: _Positive = 60.0


class State(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Verdict:
    """What became of one request on this route, as far as it is known. `course`: which of the breaker's it belongs to."""

    __slots__ = ("course", "failed")

    def __init__(self, course: int, *, failed: bool) -> None:
        self.course = course
        self.failed = failed


class Breaker:
    """One route's. Times are seconds of one clock. Who has a verdict already gives it back as `before`: it is changed, and not counted again."""

    __slots__ = ("_course", "_last", "_pause", "_rules", "_until", "state")

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self.state = State.CLOSED
        self._course = 0  # each time that it opens or closes another begins, and what was before counts no more
        self._last: collections.deque[Verdict] = collections.deque(maxlen=max(rules.window, rules.failures))
        self._pause = 0.0
        self._until = 0.0

    def due_in(self, now: float) -> float:
        """Seconds until a request may be sent; 0.0: now. While a probe is out, nobody knows: as long as it had been open."""
        if self.state is State.CLOSED:
            return 0.0
        return max(0.0, self._until - now) if self.state is State.OPEN else self._pause

    def begun(self, now: float) -> bool:
        """A request is about to be sent. True: it is the probe."""
        if self.state is State.OPEN and now >= self._until:
            self.state = State.HALF_OPEN
            return True
        return False

    def answered(self, before: Verdict | None = None) -> Verdict:
        """It was answered."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._pause = 0.0
            self._begin()
        return self._counted(before, failed=False)

    def failed(self, now: float, before: Verdict | None = None) -> Verdict | None:
        """It was not, or not to the end."""
        if self.state is State.OPEN or not self._rules.failures:
            return before
        verdict = self._counted(before, failed=True)
        if self.state is State.HALF_OPEN or self._too_many():
            self._open(now)
        return verdict

    def given_up(self, now: float) -> None:
        """The probe ended without a verdict: the next request is one."""
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
            self._until = now

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self._pause = min(self._pause * 2 or self._rules.open_seconds, self._rules.max_open_seconds)
        self._until = now + self._pause
        self._begin()

    def _begin(self) -> None:
        self._course += 1
        self._last.clear()

    def _counted(self, verdict: Verdict | None, *, failed: bool) -> Verdict:
        if verdict is not None and verdict.course == self._course:
            verdict.failed = failed
            return verdict
        verdict = Verdict(self._course, failed=failed)
        self._last.append(verdict)
        return verdict

    def _too_many(self) -> bool:
        rules = self._rules
        row = sum(1 for _ in itertools.takewhile(lambda each: each.failed, reversed(self._last)))
        if row >= rules.failures:
            return True
        window = list(itertools.islice(reversed(self._last), rules.window))
        return len(window) == rules.window and sum(each.failed for each in window) >= rules.rate * rules.window
