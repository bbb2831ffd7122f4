"""What an answer costs: integers only, buckets that do not overlap."""

from ollm.values.usage import Price, Usage
from ollm.wire.catalogue import Offer

_MILLION = 1_000_000


def cost_micro(usage: Usage, price: Price) -> int:
    """Micro-units of currency for `usage`, rounded up so that use is never free by rounding."""
    cached = price.input if price.cached is None else price.cached
    total = usage.input_tokens * price.input + usage.cached_tokens * cached + usage.output_tokens * price.output
    return -(-total // _MILLION)


def differences(price: Price, offer: Offer) -> tuple[str, ...]:
    """Which rates of `price` the provider lists otherwise in `offer`. What it doesn't list is unknown, so no difference."""
    cached = price.input if price.cached is None else price.cached
    rates = {"input": (price.input, offer.input), "output": (price.output, offer.output), "cached": (cached, offer.cached)}
    return tuple(name for name, (ours, theirs) in rates.items() if theirs is not None and theirs != ours)


def per_token(rate: int) -> str:
    """`rate`, in micro-units of currency per million tokens, as the price of one token: a decimal number in units, exact.

    So 150000 is 0.00000015.
    """
    whole, parts = divmod(rate, _MILLION * _MILLION)
    return f"{whole}.{parts:012}".rstrip("0").rstrip(".")
