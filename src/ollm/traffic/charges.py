"""What a request is charged for: one amount for each limit and each budget that stands above it, with the counter that keeps it.

What can be told before a request comes is told once: which counters stand above a key's requests for a model in a minute, how they are called
and what each allows, are its `Meters`. A request adds its amounts.

This module alone decides how counters are called: `WHAT|SCOPE|MODEL|SPAN|START`, such as `tokens|key_1f…|acme/large|minute|1795392000`.
`MODEL` is `*` where a limit holds for all models together, `SPAN` is `now` where something is counted while it lasts, `START` is in Unix
seconds. A name holds ids that we mint, names of the configuration and numbers, never anything of a request. No limit stands in it: one that
is changed in the middle of its window keeps what was used.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from ollm.traffic.windows import DAY, HOUR, MINUTE, SPANS, Bounds, Span, window_of
from ollm.values.terms import Budget, Limit, Terms

What: TypeAlias = Literal["requests", "tokens", "money", "parallel"]
Kind: TypeAlias = Literal["organization", "project", "key"]

MOST = 10**18  # the largest amount of one charge: a sum of several still fits 64 bits
ALL_MODELS = "*"
_WHATS: tuple[What, ...] = ("requests", "tokens", "money", "parallel")
_NOW = "now"
_LASTS = DAY  # seconds that a count of what is under way is kept
_KINDS: dict[str, Kind] = {"org": "organization", "proj": "project"}
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

# How long a counter is kept behind its window, in seconds: answers that end late are still settled there, and a clock that is set
# back a little finds it again.
_GRACE: dict[Span, int] = {"minute": MINUTE, "hour": HOUR}


class Meter(msgspec.Struct, frozen=True):
    """One counter, and the most that it may hold. `limit` is in requests, tokens or micro-units of currency."""

    name: str
    limit: int
    forget_ms: int  # Unix milliseconds from which on nobody asks for the counter any more
    what: What
    scope: str  # whose terms set the limit: org_…, proj_…, or a key's id
    model: str | None  # None: all models together
    span: Span | None  # None: what is under way now
    start: int  # of the window, Unix seconds; 0 without one
    end: int
    alerts: tuple[int, ...] = ()  # percents of a budget at which somebody is told

    @property
    def kind(self) -> Kind:
        """What the scope is."""
        return _KINDS.get(self.scope.partition("_")[0], "key")


class Alert(msgspec.Struct, frozen=True):
    """A level of a budget at which somebody is told."""

    index: int  # of the budget's meter
    percent: int
    level: int  # micro-units from which on it is reached


class Meters(msgspec.Struct, frozen=True):
    """Meters in order, no counter twice; and beside them, in the same order, what is asked of each for every request."""

    each: tuple[Meter, ...]
    names: tuple[str, ...]
    limits: tuple[int, ...]
    kinds: tuple[int, ...]  # what each counts: its place in `_WHATS`
    requests: tuple[int, ...]  # which of them limit requests in a window,
    tokens: tuple[int, ...]  # tokens
    money: tuple[int, ...]  # and money
    alerts: tuple[Alert, ...]


class Charges(msgspec.Struct, frozen=True):
    """What one request is charged: `amounts` in the order of `meters`."""

    meters: Meters
    amounts: tuple[int, ...]

    def some(self, indices: Iterable[int]) -> "Charges":
        """Those of the charges alone."""
        chosen = tuple(indices)
        return Charges(together([self.meters.each[index] for index in chosen]), tuple([self.amounts[index] for index in chosen]))


class Load(msgspec.Struct, frozen=True):
    """What one request takes."""

    tokens: int
    micro: int
    requests: int = 1
    parallel: int = 1


def together(each: Iterable[Meter]) -> Meters:
    """`each` as the meters of one request."""
    found = tuple(each)
    alerts = [Alert(index, percent, -(-meter.limit * percent // 100)) for index, meter in enumerate(found) for percent in meter.alerts]
    requests, tokens, money = ([index for index, meter in enumerate(found) if meter.what == what] for what in ("requests", "tokens", "money"))
    return Meters(
        found,
        tuple([meter.name for meter in found]),
        tuple([meter.limit for meter in found]),
        tuple([_WHATS.index(meter.what) for meter in found]),
        tuple(requests),
        tuple(tokens),
        tuple(money),
        tuple(alerts),
    )


def meters(standing: tuple[tuple[str, Terms], ...], model: str, now: int) -> Meters:
    """One for each limit and budget of `standing` (scope id and terms, outermost first) that holds for `model` at `now` (Unix seconds).

    Raises: ValueError where an id is none.
    """
    return _meters(standing, model, now // MINUTE)


@functools.lru_cache(maxsize=4096)  # keys and models that are busy in one minute: every window begins with one
def _meters(standing: tuple[tuple[str, Terms], ...], model: str, minute: int) -> Meters:
    now = minute * MINUTE
    found: list[Meter] = []
    for scope, terms in standing:
        for limit in terms.limits:
            if limit.model is None or limit.model == model:
                found += _limited(scope, limit, now)
        found += [_budgeted(scope, budget, now) for budget in terms.budgets]
    return together(found)


def _limited(scope: str, limit: Limit, now: int) -> Iterator[Meter]:
    """The meters of one limit, the ones that are cheapest to refuse first."""
    rates: tuple[tuple[What, Span | None, int | None], ...] = (
        ("parallel", None, limit.parallel),
        ("requests", "minute", limit.requests_per_minute),
        ("requests", "day", limit.requests_per_day),
        ("tokens", "minute", limit.tokens_per_minute),
        ("tokens", "day", limit.tokens_per_day),
    )
    for what, span, most in rates:
        if most is not None:
            yield _meter(what, scope, limit.model, span, now, most)


def _budgeted(scope: str, budget: Budget, now: int) -> Meter:
    return msgspec.structs.replace(_meter("money", scope, None, budget.window, now, budget.limit_micro), alerts=budget.alerts)


def _meter(what: What, scope: str, model: str | None, span: Span | None, now: int, limit: int) -> Meter:
    bounds = Bounds(0, 0) if span is None else window_of(span, now)
    forget = now + MINUTE + _LASTS if span is None else bounds.end + _GRACE.get(span, DAY)
    name = _name(what, scope, model, span, bounds.start)
    return Meter(name, limit, forget * 1000, what, scope, model, span, bounds.start, bounds.end)


def _name(what: What, scope: str, model: str | None, span: Span | None, start: int) -> str:
    if not _SCOPE.fullmatch(scope) or not (model is None or _MODEL.fullmatch(model)):
        raise ValueError("the id of a scope, or the name of a model, has characters that no name of a counter can have")
    return f"{what}|{scope}|{model or ALL_MODELS}|{span or _NOW}|{start}"


def counter_name(what: What, scope: str, model: str | None, span: Span | None, now: int) -> str:
    """The name of the counter that holds `now` (Unix seconds), for readers and for whoever loads it. Raises: ValueError."""
    return _name(what, scope, model, span, 0 if span is None else window_of(span, now).start)


def named(name: str, now: int) -> Meter:
    """The meter of the counter `name`, as far as a name says it: its limit is unknown, and stands as 0.

    For what is found in a store. `now` is in Unix seconds. Raises: ValueError where `name` is no counter's name.
    """
    parts = name.split("|")
    if len(parts) != 5:
        raise ValueError("not the name of a counter")
    what, scope, model, span, start = parts
    known_span = next((known for known in SPANS if known == span), None)
    known_what: What | None = next((known for known in _WHATS if known == what), None)
    if known_what is None or (known_span is None and span != _NOW) or not (start.isascii() and start.isdigit() and len(start) < 13):
        raise ValueError("not the name of a counter")
    moment = int(start) if known_span else now // MINUTE * MINUTE
    meter = _meter(known_what, scope, None if model == ALL_MODELS else model, known_span, moment, 0)
    if meter.name != name:
        raise ValueError("not the name of a counter")
    return meter


def charged(above: Meters, load: Load) -> Charges:
    """What a request that takes `load` is charged on the meters `above` it. Raises: ValueError where an amount is not in 0 … 10^18."""
    if not (0 <= load.tokens <= MOST and 0 <= load.micro <= MOST):
        raise ValueError("an amount is not in 0 to 10^18")
    by_kind = (load.requests, load.tokens, load.micro, load.parallel)
    return Charges(above, tuple(map(by_kind.__getitem__, above.kinds)))


def settled(reserved: Charges, load: Load) -> Charges:
    """The same charges with what the request really took; each goes to the window in which it was reserved.

    Nothing is under way any more, so that the amount for `parallel` is 0 whatever `load` says.
    """
    by_kind = (load.requests, min(load.tokens, MOST), min(load.micro, MOST), 0)
    return Charges(reserved.meters, tuple(map(by_kind.__getitem__, reserved.meters.kinds)))
