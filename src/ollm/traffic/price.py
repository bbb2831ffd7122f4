"""What an answer costs: integers only, buckets that do not overlap, one rounding at the end, and unknown where a rate is missing."""

import functools
from itertools import compress
from operator import attrgetter

from ollm.values.price import FALLBACKS, TOKEN_RATES, Price, Rates
from ollm.values.usage import COMPLETION_BUCKETS, PROMPT_BUCKETS, Usage
from ollm.wire.catalogue import Offer

_MILLION = 1_000_000
# A rate per minute and a count of milliseconds make sixty-thousandths, a rate per million tokens millionths: both are whole numbers of
# 1 / 3_000_000, since 1 / 60_000 is 50 of these.
_PARTS = 3 * _MILLION
_PER_TOKEN = 3
_PER_MILLISECOND = 50
_BUCKETS = tuple(FALLBACKS)
_counts = attrgetter(*_BUCKETS)

# A bucket without a rate costs nothing more where the unit that it comes with is paid for.
_PAID_BY_UNIT = {"image_output_tokens": "per_image", "audio_input_tokens": "per_minute", "audio_output_tokens": "per_million_characters"}


def cost_micro(usage: Usage, price: Price) -> int | None:
    """Micro-units of currency for `usage`, rounded up so that use is never free by rounding.

    None where something was used that has no known price: a bucket without a rate, a tier without rates, a unit that nothing pays for.
    """
    schedule = price.schedule(usage.tier)
    if schedule is None:
        return None
    rates = schedule.rates_for(usage.prompt_tokens) if schedule.above else schedule
    units = _units(usage, rates)
    tokens = _tokens(usage, rates)
    if units is None or tokens is None:
        return None
    return -(-(_PER_TOKEN * tokens + units) // _PARTS)


def _tokens(usage: Usage, rates: Rates) -> int | None:
    """Millionths of micro-units for the tokens."""
    total = 0
    for bucket in compress(_BUCKETS, _counts(usage)):
        count: int = getattr(usage, bucket)
        rate = rates.rate(bucket)
        if rate is not None:
            total += count * rate
        elif not _by_units_alone(rates) and not _paid_by_unit(bucket, rates):
            return None
    return total


def _paid_by_unit(bucket: str, rates: Rates) -> bool:
    return bucket in _PAID_BY_UNIT and getattr(rates, _PAID_BY_UNIT[bucket]) is not None


def _units(usage: Usage, rates: Rates) -> int | None:
    """Parts for all that isn't tokens, fee included."""
    if rates.input is not None and not (usage.images or usage.audio_ms or usage.characters):
        return (rates.per_request or 0) * _PARTS  # tokens alone, and they have a rate
    if usage.images and rates.per_image is None and not usage.completion_tokens:
        return None
    if usage.audio_ms and rates.per_minute is None:
        return None
    if usage.characters and rates.per_million_characters is None and not usage.completion_tokens:
        return None
    paid = (usage.images, rates.per_image), (usage.audio_ms, rates.per_minute), (usage.characters, rates.per_million_characters)
    if _by_units_alone(rates) and not any(count for count, rate in paid if rate is not None) and any(rate is not None for _, rate in paid):
        return None  # the provider didn't say how much of what is paid for it was
    return (
        (rates.per_request or 0) * _PARTS
        + usage.images * (rates.per_image or 0) * _PARTS
        + usage.audio_ms * (rates.per_minute or 0) * _PER_MILLISECOND
        + usage.characters * (rates.per_million_characters or 0) * _PER_TOKEN
    )


def _by_units_alone(rates: Rates) -> bool:
    """Whether no kind of token has a rate: then tokens aren't what is paid for."""
    return all(getattr(rates, name) is None for name in TOKEN_RATES)


def highest_micro(price: Price, prompt_tokens: int, completion_tokens: int, *, images: int = 0, audio_ms: int = 0, characters: int = 0) -> int:
    """The most that an answer with so many tokens and units can cost, in whichever tier, bucket and length of prompt.

    What has no rate counts nothing here: its cost is unknown in the end, and then what was held back is all that there is.
    """
    highest = 0
    for rates, dearest_in, dearest_out in _dearest(price):
        parts = _PER_TOKEN * (prompt_tokens * dearest_in + completion_tokens * dearest_out) + _PARTS * (rates.per_request or 0)
        if images or audio_ms or characters:
            parts += _PARTS * images * (rates.per_image or 0)
            parts += _PER_MILLISECOND * audio_ms * (rates.per_minute or 0)
            parts += _PER_TOKEN * characters * (rates.per_million_characters or 0)
        if parts > highest:
            highest = parts
    return -(-highest // _PARTS)


@functools.lru_cache(maxsize=1024)  # of the models that are asked for: a configuration has a price or two for each
def _dearest(price: Price) -> tuple[tuple[Rates, int, int], ...]:
    """The rates of each tier and length of prompt, with the dearest of a token that goes in, and that comes out."""
    found = [rates for schedule in (price, *price.tiers.values()) for rates in (schedule, *schedule.above)]
    return tuple([(rates, _highest(rates, PROMPT_BUCKETS), _highest(rates, COMPLETION_BUCKETS)) for rates in found])


def _highest(rates: Rates, buckets: tuple[str, ...]) -> int:
    return max(rates.rate(bucket) or 0 for bucket in buckets)


def differences(price: Price, offer: Offer) -> tuple[str, ...]:
    """Which rates of `price` the provider lists otherwise in `offer`. What it doesn't list is unknown, so no difference."""
    return tuple(name for name, theirs in offer.rates().items() if theirs is not None and theirs != _effective(price, name))


def _effective(price: Price, name: str) -> int | None:
    """The rate called `name`, or what is paid where it is absent."""
    bucket = next((bucket for bucket, names in FALLBACKS.items() if names[0] == name), None)
    if bucket is None:
        return getattr(price, name) or 0  # a fee
    return price.rate(bucket)


def per_token(rate: int) -> str:
    """`rate`, in micro-units of currency per million tokens, as the price of one token: a decimal number in units, exact.

    So 150000 is 0.00000015.
    """
    whole, parts = divmod(rate, _MILLION * _MILLION)
    return f"{whole}.{parts:012}".rstrip("0").rstrip(".")
