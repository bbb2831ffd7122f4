"""What is known of routes from the requests that they were sent: whether they answer, how fast, and how much they have to do.

A route is a model at an upstream: one model that fails must not take the others of its provider with it. What is under way is counted for the
upstream, whose load it is.
"""

import collections

import msgspec

from ollm.traffic.breaker import Breaker, BreakerRules, State, Verdict

_WEIGHT = 0.2  # of the newest measurement in a mean
_HALF_LIFE = 60.0  # seconds in which a mean that nothing renews loses half: a route that was slow once is tried again


class Seen(msgspec.Struct, frozen=True):
    """A route as others may see it. None: nothing is known."""

    state: State
    due_in: float  # seconds until it would be sent a request
    first_seconds: float | None  # from sending to the first byte of an answer, mean
    tokens_per_second: float | None  # of answers, mean


class _Mean:
    """An exponentially weighted mean that fades while nothing renews it."""

    __slots__ = ("_at", "_value")

    def __init__(self) -> None:
        self._value: float | None = None
        self._at = 0.0

    def add(self, value: float, now: float) -> None:
        self._value = value if self._value is None else self._value + _WEIGHT * (value - self._value)
        self._at = now

    @property
    def value(self) -> float | None:
        return self._value

    def fading(self, now: float) -> float:
        """The mean, less the longer ago it was measured; 0.0 where nothing was."""
        return 0.0 if self._value is None else self._value * 0.5 ** (max(0.0, now - self._at) / _HALF_LIFE)


class Health:
    """One route's breaker and means."""

    __slots__ = ("breaker", "first", "speed")

    def __init__(self, rules: BreakerRules) -> None:
        self.breaker = Breaker(rules)
        self.first = _Mean()
        self.speed = _Mean()

    def seen(self, now: float) -> Seen:
        """What may be shown of it."""
        return Seen(self.breaker.state, self.breaker.due_in(now), self.first.value, self.speed.value)


class Board:
    """All routes of one gateway. Names come from the configuration, so there are no more than it has."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._routes: dict[tuple[str, str], Health] = {}
        self._busy: collections.Counter[str] = collections.Counter()

    def of(self, model: str, upstream: str) -> Health:
        """The health of `model` at `upstream`."""
        found = self._routes.get((model, upstream))
        if found is None:
            found = self._routes[model, upstream] = Health(self._rules)
        return found

    def busy(self, upstream: str) -> int:
        """Requests that are under way to `upstream`."""
        return self._busy[upstream]

    def enter(self, upstream: str) -> None:
        self._busy[upstream] += 1

    def leave(self, upstream: str) -> None:
        self._busy[upstream] -= 1


class Attempt:
    """One attempt on a board, from sending to its end. It tells the board each thing once, and leaves it once."""

    __slots__ = ("_board", "_failed", "_health", "_judged", "_left", "_probe", "_upstream", "_verdict")

    def __init__(self, board: Board, model: str, upstream: str, now: float, before: "Attempt | None" = None) -> None:
        """`before`: the last attempt of the same request over the same route, whose verdict this one's takes the place of."""
        self._board = board
        self._upstream = upstream
        self._health = board.of(model, upstream)
        self._probe = self._health.breaker.begun(now)
        self._verdict: Verdict | None = before._verdict if before is not None else None
        self._judged = False
        self._failed = False
        self._left = False
        board.enter(upstream)

    def answered(self) -> None:
        """The provider answered, or begins to; an error that is the client's is an answer too."""
        if not self._judged:
            self._judged = True
            self._verdict = self._health.breaker.answered(self._verdict)

    def first_byte(self, seconds: float, now: float) -> None:
        """The first byte of a good answer came, `seconds` after the request was sent."""
        if not self._judged:
            self.answered()
            self._health.first.add(seconds, now)

    def failed(self, now: float) -> None:
        """It came to nothing, or its answer broke off: that stands."""
        if not self._failed:
            self._judged = self._failed = True
            self._verdict = self._health.breaker.failed(now, self._verdict)

    def spoke(self, tokens: int, seconds: float, now: float) -> None:
        """So many tokens came in so many seconds behind the first byte."""
        if tokens > 0 and seconds > 0:
            self._health.speed.add(tokens / seconds, now)

    def over(self, now: float) -> None:
        """It is over, whatever became of it."""
        if not self._left:
            self._left = True
            self._board.leave(self._upstream)
            if self._probe and not self._judged:
                self._health.breaker.given_up(now)
