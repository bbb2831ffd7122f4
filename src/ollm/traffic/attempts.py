"""Which candidate a request is sent to next, and after which pause: one budget for all of its attempts.

An attempt is one sending of the request, or one connection that could not be had for it. What ends it decides what follows:

    no connection                                             another attempt
    408, 429, 500, 502, 503, 504, 520 to 524, 529             another attempt; Retry-After is waited for, up to `max_pause`
      asked to stay away for longer                           another candidate
    401, 402, 403                                             the next key of this candidate at once, else another candidate
    connection lost after sending, no byte of an answer       nothing, unless `resend_after_reset` says so: it may be billed twice
    an error object in place of an answer or of a stream's first event    as the status that it stands for; 502 where it doesn't say
    a broken answer                                           nothing
    no answer in time                                         nothing: it may be billed, and the time is spent
    any other answer                                          nothing: another candidate would say the same

Candidates are first tried once each, in their order and without a pause; then the one that is due first again, after a backoff that doubles
with each of its attempts. A candidate that is not trusted costs no attempt, and is not tried again.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import msgspec

_Seconds = Annotated[float, msgspec.Meta(ge=0)]

RETRIED = frozenset({408, 429, 500, 502, 503, 504, *range(520, 525), 529})  # 520 to 524: Cloudflare's; 529: Anthropic's "overloaded"
CREDENTIALS = frozenset({401, 402, 403})
_JITTER = 0.2  # of a backoff, both ways: clients that failed together don't come back together


class RetryRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often, and after which pauses."""

    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3  # of one request, all upstreams together; 1: never repeated
    backoff: _Seconds = 0.5  # seconds before an upstream is tried again, doubled each time
    max_backoff: _Seconds = 5.0
    max_pause: _Seconds = 5.0  # a provider that asks to be left alone for longer is left alone
    max_wait: _Seconds = 15.0  # all pauses of one request together
    resend_after_reset: bool = False  # a connection lost after sending: sent again, though the provider may have worked already


class Cause(enum.Enum):
    """What ended an attempt."""

    UNREACHED = "no connection was had; nothing left"
    RESET = "the connection was lost after sending, before a byte of the answer"
    BROKEN = "an answer that is none, or breaks off"
    LATE = "no answer in time"
    ANSWERED = "an error status, or an error object that stands for one"


class Failure(msgspec.Struct, frozen=True):
    """The end of an attempt. `pause`: seconds that the provider asked for. `other_key`: it has another key that may be tried."""

    cause: Cause
    status: int = 0
    pause: float | None = None
    other_key: bool = False


class Again(enum.Enum):
    """Who may be tried after a failure."""

    NOBODY = "the failure is the answer"
    OTHERS = "other candidates"
    ANYBODY = "other candidates, and this one after a pause"
    AT_ONCE = "this one, with another key"


def again(rules: RetryRules, failure: Failure) -> Again:
    """What `failure` leaves to try: the table at the head of this module."""
    match failure.cause:
        case Cause.UNREACHED:
            return Again.ANYBODY
        case Cause.RESET:
            return Again.ANYBODY if rules.resend_after_reset else Again.NOBODY
        case Cause.BROKEN | Cause.LATE:
            return Again.NOBODY
    if failure.status in CREDENTIALS:
        return Again.AT_ONCE if failure.other_key else Again.OTHERS
    if failure.status not in RETRIED:
        return Again.NOBODY
    if failure.status == 429 and failure.other_key:
        return Again.ANYBODY  # what was asked for is asked of the key, not of the provider
    return Again.OTHERS if (failure.pause or 0.0) > rules.max_pause else Again.ANYBODY


class Step(NamedTuple):
    """Try `name`, after `pause` seconds."""

    name: str
    pause: float


class Plan:
    """The budget of one request over its candidates. `random` gives numbers from 0 up to 1; times are seconds of one clock.

    The caller asks `next`, tells with `begun` that an attempt is about to be made, and how it ended with `failed`, `undone` or `drop`.
    """

    def __init__(self, rules: RetryRules, names: Sequence[str], random: Callable[[], float], *, ends: float) -> None:
        """`ends`: no pause lasts beyond this time."""
        self._rules = rules
        self._random = random
        self._ends = ends
        self._fresh = list(names)
        self._tries: dict[str, int] = {}
        self._due: dict[str, float] = {}  # of those that were tried and may be tried again
        self._at_once: str | None = None
        self._over = False
        self._waited = 0.0
        self.attempts = 0  # so far

    @property
    def left(self) -> bool:
        """Whether the budget has another attempt."""
        return self.attempts < self._rules.attempts

    def next(self, now: float) -> Step | None:
        """Whom to try next; None when the last failure is the answer."""
        if self._over or not self.left:
            return None
        if self._at_once is not None:
            return Step(self._at_once, 0.0)
        if self._fresh:
            return Step(self._fresh[0], 0.0)
        if not self._due:
            return None
        name = min(self._due, key=lambda each: (self._due[each], self._tries[each]))
        pause = max(0.0, self._due[name] - now)
        if self._waited + pause > self._rules.max_wait or now + pause >= self._ends:
            return None
        self._waited += pause
        return Step(name, pause)

    def begun(self, name: str) -> None:
        """An attempt at `name` is about to be made."""
        self.attempts += 1
        self._tries[name] = self._tries.get(name, 0) + 1

    def undone(self, name: str) -> None:
        """It was none: what stands there is another machine, or the verified session had ended. Nothing left."""
        self.attempts -= 1
        self._tries[name] -= 1

    def failed(self, name: str, failure: Failure, now: float) -> None:
        """The attempt at `name` came to nothing."""
        self.drop(name)
        follows = again(self._rules, failure)
        if follows is Again.NOBODY:
            self._over = True
        elif follows is Again.AT_ONCE:
            self._at_once = name
        elif follows is Again.ANYBODY:
            self._due[name] = now + self._pause(name, failure)

    def drop(self, name: str) -> None:
        """`name` is not to be tried again."""
        if name in self._fresh:
            self._fresh.remove(name)
        self._due.pop(name, None)
        if self._at_once == name:
            self._at_once = None

    def _pause(self, name: str, failure: Failure) -> float:
        rules = self._rules
        doublings = min(self._tries.get(name, 1) - 1, 16)
        pause = min(rules.backoff * 2.0**doublings, rules.max_backoff) * (1 - _JITTER + 2 * _JITTER * self._random())
        if failure.pause is None or failure.pause > rules.max_pause:
            return pause
        return max(failure.pause, pause)
