"""What a request is charged for: one amount for each limit and each budget that stands above it, with the counter that keeps it.

This module alone decides how counters are called: `WHAT|SCOPE|MODEL|SPAN|START`, such as `tokens|key_1f…|acme/large|minute|1795392000`.
`MODEL` is `*` where a limit holds for all models together, `SPAN` is `now` where something is counted while it lasts, `START` is in Unix
seconds. A name holds ids that we mint, names of the configuration and numbers, never anything of a request. No limit stands in it: one that
is changed in the middle of its window keeps what was used.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from ollm.traffic.windows import DAY, HOUR, MINUTE, SPANS, Bounds, Span, window_of
from ollm.values.terms import Limit, Terms

What: TypeAlias = Literal["requests", "tokens", "money", "parallel"]
Kind: TypeAlias = Literal["organization", "project", "key"]

MOST = 10**18  # the largest amount of one charge: a sum of several still fits 64 bits
ALL_MODELS = "*"
_NOW = "now"
_LASTS = DAY  # seconds that a count of what is under way is kept after it was last raised
_KINDS: dict[str, Kind] = {"org": "organization", "proj": "project"}
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")

# How long a counter is kept behind its window, in seconds: answers that end late are still settled there, and a clock that is set
# back a little finds it again.
_GRACE: dict[Span, int] = {"minute": MINUTE, "hour": HOUR}


class Charge(msgspec.Struct, frozen=True):
    """An amount for one counter. `amount` and `limit` are requests, tokens or micro-units of currency."""

    name: str
    amount: int
    limit: int
    forget_ms: int  # Unix milliseconds from which on nobody asks for the counter any more
    what: What
    scope: str  # whose terms set the limit: org_…, proj_…, or a key's id
    model: str | None  # None: all models together
    span: Span | None  # None: what is under way now
    start: int  # of the window, Unix seconds; 0 without one
    end: int

    @property
    def kind(self) -> Kind:
        """What the scope is."""
        return _KINDS.get(self.scope.partition("_")[0], "key")


class Load(msgspec.Struct, frozen=True):
    """What one request takes: the amounts of its charges."""

    tokens: int
    micro: int
    requests: int = 1
    parallel: int = 1


def charges(standing: Iterable[tuple[str, Terms]], model: str, load: Load, now: int) -> tuple[Charge, ...]:
    """One charge for each limit and budget of `standing` (scope id and terms, outermost first) that holds for `model` at `now` (Unix seconds).

    Raises: ValueError where an id is none, or an amount is not in 0 … 10^18.
    """
    if not (0 <= load.tokens <= MOST and 0 <= load.micro <= MOST):
        raise ValueError("an amount is not in 0 to 10^18")
    found: list[Charge] = []
    for scope, terms in standing:
        for limit in terms.limits:
            if limit.model is None or limit.model == model:
                found += _limited(scope, limit, load, now)
        for budget in terms.budgets:
            found.append(_charge("money", scope, None, budget.window, now, amount=load.micro, limit=budget.limit_micro))
    return tuple(found)


def _limited(scope: str, limit: Limit, load: Load, now: int) -> Iterable[Charge]:
    """The charges of one limit, the ones that are cheapest to refuse first."""
    rates: tuple[tuple[What, Span | None, int, int | None], ...] = (
        ("parallel", None, load.parallel, limit.parallel),
        ("requests", "minute", load.requests, limit.requests_per_minute),
        ("requests", "day", load.requests, limit.requests_per_day),
        ("tokens", "minute", load.tokens, limit.tokens_per_minute),
        ("tokens", "day", load.tokens, limit.tokens_per_day),
    )
    for what, span, amount, most in rates:
        if most is not None:
            yield _charge(what, scope, limit.model, span, now, amount=amount, limit=most)


def _charge(what: What, scope: str, model: str | None, span: Span | None, now: int, *, amount: int, limit: int) -> Charge:
    name, forget_ms, start, end = _place(what, scope, model, span, now // MINUTE)
    return Charge(name, amount, limit, forget_ms, what, scope, model, span, start, end)


@functools.lru_cache(maxsize=16_384)  # of a minute that many requests fall into: the names are half the cost of their charges
def _place(what: What, scope: str, model: str | None, span: Span | None, minute: int) -> tuple[str, int, int, int]:
    """Name, end of keeping (Unix milliseconds), start and end of the counter; every window begins with a minute."""
    now = minute * MINUTE
    bounds = Bounds(0, 0) if span is None else window_of(span, now)
    forget = now + MINUTE + _LASTS if span is None else bounds.end + _GRACE.get(span, DAY)
    return _name(what, scope, model, span, bounds.start), forget * 1000, bounds.start, bounds.end


def _name(what: What, scope: str, model: str | None, span: Span | None, start: int) -> str:
    if not _SCOPE.fullmatch(scope) or not (model is None or _MODEL.fullmatch(model)):
        raise ValueError("the id of a scope, or the name of a model, has characters that no name of a counter can have")
    return f"{what}|{scope}|{model or ALL_MODELS}|{span or _NOW}|{start}"


def counter_name(what: What, scope: str, model: str | None, span: Span | None, now: int) -> str:
    """The name of the counter that holds `now` (Unix seconds), for readers and for whoever loads it. Raises: ValueError."""
    return _name(what, scope, model, span, 0 if span is None else window_of(span, now).start)


def named(name: str, amount: int, now: int) -> Charge:
    """The charge of `amount` on the counter `name`, as far as a name says it: its limit is unknown, and stands as 0.

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
    charge = _charge(known_what, scope, None if model == ALL_MODELS else model, known_span, int(start) if known_span else now, amount=amount, limit=0)
    if charge.name != name:
        raise ValueError("not the name of a counter")
    return charge


_WHATS: tuple[What, ...] = ("requests", "tokens", "money", "parallel")


def settled(reserved: Sequence[Charge], load: Load) -> tuple[Charge, ...]:
    """The same charges with what the request really took; each goes to the window in which it was reserved.

    Nothing is under way any more, so that the amount for `parallel` is 0 whatever `load` says.
    """
    amounts: dict[What, int] = {"requests": load.requests, "tokens": min(load.tokens, MOST), "money": min(load.micro, MOST), "parallel": 0}
    return tuple(with_amount(charge, amounts[charge.what]) for charge in reserved)


def with_amount(charge: Charge, amount: int) -> Charge:
    """`charge` with another amount."""
    return Charge(charge.name, amount, charge.limit, charge.forget_ms, charge.what, charge.scope, charge.model, charge.span, charge.start, charge.end)
