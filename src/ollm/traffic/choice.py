"""Which of a request's candidates is tried first: by the model's rule, or by what the caller prefers.

Rules change the order among peers only: candidates that are ready and of the level of the first candidate. So no rule of speed or price puts
a route of a lower level before one of a higher level that the configuration names first, and one that isn't verified now makes no room for less.
"""

from collections.abc import Callable, Mapping, Sequence

from ollm.traffic.health import Board
from ollm.values.level import Level
from ollm.wire.preferences import Preferences

Rule = Callable[[Sequence[str]], Sequence[str]]
_NEVER = float("inf")


def arranged(names: Sequence[str], levels: Mapping[str, Level], ready: Callable[[str], bool], rule: Rule) -> list[str]:
    """`names` with those in front, in the order of `rule`, that are `ready` and of the level of the first of all.

    The others follow in their order, so that nothing that could serve is lost.
    """
    peers = [name for name in names if levels[name] is levels[names[0]] and ready(name)]
    return [*rule(peers), *(name for name in names if name not in peers)]


def turns(turn: int) -> Rule:
    """Beginning with another at each `turn`."""

    def rotated(names: Sequence[str]) -> Sequence[str]:
        begin = turn % len(names) if names else 0
        return [*names[begin:], *names[:begin]]

    return rotated


def weighted(weights: Mapping[str, int], random: Callable[[], float]) -> Rule:
    """By lot: each is first as often as its weight says, and the others follow by the same lot (Efraimidis and Spirakis, 2006)."""
    return lambda names: sorted(names, key=lambda name: random() ** (1 / weights.get(name, 1)), reverse=True)


def least_busy(board: Board, weights: Mapping[str, int]) -> Rule:
    """Who has the fewest requests under way for its weight."""
    return lambda names: sorted(names, key=lambda name: board.busy(name) / weights.get(name, 1))


def fastest(board: Board, model: str, now: float) -> Rule:
    """Who will answer first, by the time that it took of late and what it has to do now. A route that nobody knows is tried, and so is one
    that has not been measured for long."""
    return lambda names: sorted(names, key=lambda name: board.of(model, name).first.fading(now) * (1 + board.busy(name)))


def sorted_by(preferences: Preferences, board: Board, model: str) -> Rule:
    """As the caller prefers; routes that nobody knows come last. By price the order stays: a model has one price here, whoever serves it."""

    def latency(name: str) -> float:
        seconds = board.of(model, name).first.value
        return _NEVER if seconds is None else seconds

    def slowness(name: str) -> float:
        return -(board.of(model, name).speed.value or 0.0)

    match preferences.sort:
        case "latency":
            return lambda names: sorted(names, key=latency)
        case "throughput":
            return lambda names: sorted(names, key=slowness)
    return list


def resting_last(names: Sequence[str], due_in: Callable[[str], float]) -> list[str]:
    """`names` with those behind the others whose breaker is open, the one that is due soonest first."""
    due = {name: due_in(name) for name in names}
    return sorted(names, key=due.__getitem__)
