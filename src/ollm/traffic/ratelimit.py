"""What a client is told of its limits: headers on every answer, and why a request was refused.

Headers are those of OpenAI's API: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, `Retry-After` (RFC 9110 §10.2.3), and
`retry-after-ms` and `x-should-retry`, which its SDKs heed.
"""

import functools
from collections.abc import Mapping, Sequence
from operator import sub

import msgspec

from ollm.traffic.charges import Charges, Kind, Meter, Meters

_WAIT_FOR_ANOTHER_MS = 1000  # when one of the requests under way will end is not known
_WHOSE: dict[Kind, str] = {"organization": "This organization's", "project": "This project's", "key": "This key's"}
_NO_RETRY = {"x-should-retry": "false"}
_OF_REQUESTS, _OF_TOKENS = (
    (b"x-ratelimit-limit-" + what, b"x-ratelimit-remaining-" + what, b"x-ratelimit-reset-" + what) for what in (b"requests", b"tokens")
)


class Verdict(msgspec.Struct, frozen=True):
    """A refusal, as an error in OpenAI's shape."""

    status: int
    type: str
    code: str
    message: str
    headers: Mapping[str, str]


def headers(meters: Meters, values: Sequence[int], now_ms: int) -> list[tuple[bytes, bytes]]:
    """The headers for requests and tokens, of the limit with the least left (of several, the first); none for what nobody limits.

    `values` are what the counters of `meters` held after the reserve (or at the refusal); `now_ms` is in Unix milliseconds.
    """
    found: list[tuple[bytes, bytes]] = []
    left = list(map(sub, meters.limits, values))
    for (limit, remaining, reset), indices in ((_OF_REQUESTS, meters.requests), (_OF_TOKENS, meters.tokens)):
        if indices:
            index = min(indices, key=left.__getitem__)
            found += (
                (limit, b"%d" % meters.limits[index]),
                (remaining, b"%d" % max(0, left[index])),
                (reset, duration(meters.each[index].end * 1000 - now_ms).encode()),
            )
    return found


def duration(milliseconds: int) -> str:
    """A duration as OpenAI writes it: `12ms`, `1s`, `6m0s`, `1h0m0s`. Above a second, what is left of one counts as one; none is below 0."""
    return _in_seconds(-(-milliseconds // 1000)) if milliseconds >= 1000 else f"{max(0, milliseconds)}ms"


@functools.lru_cache(maxsize=1024)
def _in_seconds(total: int) -> str:
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def refusal(charges: Charges, values: Sequence[int], index: int, now_ms: int) -> Verdict:
    """Why the reserve was refused: the charge at `index` is the one that its counter has no room for.

    A limit that ends in its window says when to come back. A budget doesn't: months are no time to wait for, and SDKs mustn't try. Nor does a
    request that is larger than the limit by itself.
    """
    meter = charges.meters.each[index]
    whose = f"{_WHOSE[meter.kind]} {_limit(meter)}"
    shown = {name.decode(): value.decode() for name, value in headers(charges.meters, values, now_ms)}
    if meter.what == "money":
        message = f"{whose} is used up, or has less left than this request can cost. The budget begins anew with the next {meter.span}."
        return Verdict(429, "insufficient_quota", "insufficient_quota", message, shown | _NO_RETRY)
    kind = "tokens" if meter.what == "tokens" else "requests"
    if charges.amounts[index] > meter.limit:
        message = f"{whose} is less than this request can take by itself. Send less, or a smaller max_tokens."
        return Verdict(429, kind, "rate_limit_exceeded", message, shown | _NO_RETRY)
    wait = _WAIT_FOR_ANOTHER_MS if meter.what == "parallel" else max(1, meter.end * 1000 - now_ms)
    message = f"{whose} is reached. Try again in {duration(wait)}."
    return Verdict(429, kind, "rate_limit_exceeded", message, shown | {"retry-after": str(-(-wait // 1000)), "retry-after-ms": str(wait)})


def _limit(meter: Meter) -> str:
    """The limit in words, such as "limit of 60 requests a minute for acme/large". A budget's amount is its owner's affair."""
    if meter.what == "money":
        return f"budget for the {meter.span}"
    how_much = f"{meter.limit} requests at a time" if meter.what == "parallel" else f"{meter.limit} {meter.what} a {meter.span}"
    return f"limit of {how_much}" + (f" for {meter.model}" if meter.model is not None else "")


def too_costly() -> Verdict:
    """The refusal of a request that can cost more than one request of its key may."""
    message = "This request can cost more than one request of this key may. Send less, or a smaller max_tokens."
    return Verdict(403, "request_too_costly", "request_too_costly", message, _NO_RETRY)
