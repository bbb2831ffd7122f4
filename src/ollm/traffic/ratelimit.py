"""What a client is told of its limits: headers on every answer, and why a request was refused.

Headers are those of OpenAI's API: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, `Retry-After` (RFC 9110 §10.2.3), and
`retry-after-ms` and `x-should-retry`, which its SDKs heed.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ollm.traffic.charges import Charge, Kind
from ollm.values.terms import Terms

_WAIT_FOR_ANOTHER_MS = 1000  # when one of the requests under way will end is not known
_WHOSE: dict[Kind, str] = {"organization": "This organization's", "project": "This project's", "key": "This key's"}
_NO_RETRY = {"x-should-retry": "false"}


class Verdict(msgspec.Struct, frozen=True):
    """A refusal, as an error in OpenAI's shape."""

    status: int
    type: str
    code: str
    message: str
    headers: Mapping[str, str]


def headers(charges: Sequence[Charge], values: Sequence[int], now_ms: int) -> dict[str, str]:
    """The headers for requests and tokens, of the limit with the least left; none for what nobody limits.

    `values` are what the counters of `charges` held after the reserve (or at the refusal); `now_ms` is in Unix milliseconds.
    """
    found: dict[str, str] = {}
    for what in ("requests", "tokens"):
        tightest: Charge | None = None
        least = 0
        for charge, value in zip(charges, values, strict=True):
            left = charge.limit - value
            if charge.what == what and (tightest is None or left < least):
                tightest, least = charge, left
        if tightest is not None:
            found[f"x-ratelimit-limit-{what}"] = str(tightest.limit)
            found[f"x-ratelimit-remaining-{what}"] = str(max(0, least))
            found[f"x-ratelimit-reset-{what}"] = duration(max(0, tightest.end * 1000 - now_ms))
    return found


def duration(milliseconds: int) -> str:
    """A duration as OpenAI writes it: `12ms`, `1s`, `6m0s`, `1h0m0s`. Above a second, what is left of one counts as one."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, seconds = divmod(-(-milliseconds // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def refusal(charges: Sequence[Charge], values: Sequence[int], index: int, now_ms: int) -> Verdict:
    """Why the reserve was refused: `charges[index]` is the one that its counter has no room for.

    A limit that ends in its window says when to come back. A budget doesn't: months are no time to wait for, and SDKs mustn't try. Nor does a
    request that is larger than the limit by itself.
    """
    charge = charges[index]
    whose = f"{_WHOSE[charge.kind]} {_limit(charge)}"
    shown = headers(charges, values, now_ms)
    if charge.what == "money":
        message = f"{whose} is used up, or has less left than this request can cost. The budget begins anew with the next {charge.span}."
        return Verdict(429, "insufficient_quota", "insufficient_quota", message, shown | _NO_RETRY)
    kind = "tokens" if charge.what == "tokens" else "requests"
    if charge.amount > charge.limit:
        message = f"{whose} is less than this request can take by itself. Send less, or a smaller max_tokens."
        return Verdict(429, kind, "rate_limit_exceeded", message, shown | _NO_RETRY)
    wait = _WAIT_FOR_ANOTHER_MS if charge.what == "parallel" else max(1, charge.end * 1000 - now_ms)
    message = f"{whose} is reached. Try again in {duration(wait)}."
    return Verdict(429, kind, "rate_limit_exceeded", message, shown | {"retry-after": str(-(-wait // 1000)), "retry-after-ms": str(wait)})


def _limit(charge: Charge) -> str:
    """The limit in words, such as "limit of 60 requests a minute for acme/large". A budget's amount is its owner's affair."""
    if charge.what == "money":
        return f"budget for the {charge.span}"
    how_much = f"{charge.limit} requests at a time" if charge.what == "parallel" else f"{charge.limit} {charge.what} a {charge.span}"
    return f"limit of {how_much}" + (f" for {charge.model}" if charge.model is not None else "")


def too_costly(standing: Iterable[tuple[str, Terms]], micro: int) -> Verdict | None:
    """The refusal of a request that can cost `micro` micro-units, if any terms of `standing` (scope id and terms) allow less for one request."""
    for _, terms in standing:
        if terms.max_request_micro is not None and micro > terms.max_request_micro:
            message = "This request can cost more than one request of this key may. Send less, or a smaller max_tokens."
            return Verdict(403, "request_too_costly", "request_too_costly", message, _NO_RETRY)
    return None
