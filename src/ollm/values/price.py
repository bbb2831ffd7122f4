"""Prices: data of the measured configuration, with the day from which each holds and where it was read.

A rate is an integer: micro-units of currency (millionths) per million tokens, so 1 USD per million tokens is 1_000_000. A rate that is
absent isn't 0: `FALLBACKS` says which other rate stands in for it, and where there is none, what it would have paid for has no known price.
"""

import datetime
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from ollm.values.usage import Tier

# Times the most that an answer is believed to have used (`wire.usage`), the sum of all still fits the ledger's 64-bit integers.
Rate = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**40)]

# The tiers that can have rates of their own: default and standard are what OpenAI and Anthropic call having none.
OwnTier = Literal["flex", "priority", "scale", "fast", "batch", "other"]

_MS_PER_DAY = 86_400_000
_EPOCH = datetime.date(1970, 1, 1).toordinal()

# Bucket of `Usage` → its rate, and the rates that stand in for it where it is absent, in this order. Audio and pictures that were made
# have none: they cost several times what text costs.
FALLBACKS: dict[str, tuple[str, ...]] = {
    "input_tokens": ("input",),
    "cached_tokens": ("cached", "input"),
    "cache_write_tokens": ("cache_write", "input"),
    "cache_write_long_tokens": ("cache_write_long", "cache_write", "input"),
    "audio_input_tokens": ("audio_input",),
    "image_input_tokens": ("image_input", "input"),
    "output_tokens": ("output",),
    "reasoning_tokens": ("reasoning", "output"),
    "audio_output_tokens": ("audio_output",),
    "image_output_tokens": ("image_output",),
}


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is paid for each kind of token, and for what is counted otherwise."""

    input: Rate | None = None  # prompt tokens
    output: Rate | None = None  # completion tokens
    cached: Rate | None = None  # prompt tokens from the provider's cache; absent: as input
    cache_write: Rate | None = None  # prompt tokens written to the provider's cache; absent: as input
    cache_write_long: Rate | None = None  # the same for an hour; absent: as cache_write
    reasoning: Rate | None = None  # absent: as output
    audio_input: Rate | None = None  # absent: unknown
    audio_output: Rate | None = None  # absent: unknown
    image_input: Rate | None = None  # absent: as input
    image_output: Rate | None = None  # absent: unknown
    per_request: Rate | None = None  # micro-units for each answer; absent: none
    per_image: Rate | None = None  # micro-units for each picture that was made; absent: paid by its tokens
    per_minute: Rate | None = None  # micro-units for each minute of audio that was heard; absent: unknown
    per_million_characters: Rate | None = None  # micro-units for a million characters that were spoken; absent: paid by tokens

    def stated(self) -> frozenset[str]:
        """The rates that are there."""
        return frozenset(name for name in RATES if getattr(self, name) is not None)

    def rate(self, bucket: str) -> int | None:
        """The rate of a bucket of tokens, that of its fallback, or None."""
        for name in FALLBACKS[bucket]:
            rate: int | None = getattr(self, name)
            if rate is not None:
                return rate
        return None


RATES = Rates.__struct_fields__
TOKEN_RATES = tuple(name for name in RATES if not name.startswith("per_"))


class Above(Rates, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rates of requests whose prompt has more tokens than this; all of the request is paid at them."""

    tokens: Tokens


class Schedule(Rates, frozen=True, forbid_unknown_fields=True):
    """Rates, and those of long prompts."""

    above: tuple[Above, ...] = ()

    def rates_for(self, prompt_tokens: int) -> Rates:
        """The rates of a request with so many tokens of prompt."""
        longest: Rates = self
        most = 0
        for step in self.above:
            if most < step.tokens < prompt_tokens:
                longest, most = step, step.tokens
        return longest


class Price(Schedule, frozen=True, forbid_unknown_fields=True):
    """One version of a price."""

    tiers: dict[OwnTier, Schedule] = {}  # of answers that say that another tier than the usual served them
    version: str = "config"  # stands beside each cost in the ledger
    effective_from: datetime.date | None = None  # from 00:00 UTC of that day; absent: always
    currency: str | None = None  # absent: the installation's, which it must be
    source: str | None = None  # the page that it was read from

    def __hash__(self) -> int:
        """Over what can be hashed of it; prices that are equal have it in common."""
        return hash((self.version, self.effective_from, self.input, self.output))

    def schedule(self, tier: Tier | None) -> Schedule | None:
        """The rates of the tier that served; None where that tier has none here."""
        if tier is None or tier == "default" or tier == "standard":
            return self
        return self.tiers.get(tier)


def price_at(versions: Sequence[Price], moment_ms: int) -> Price | None:
    """The newest of `versions` that holds at `moment_ms` (Unix milliseconds); None where none holds yet."""
    if len(versions) == 1 and versions[0].effective_from is None:
        return versions[0]
    today = _EPOCH + moment_ms // _MS_PER_DAY
    held = [(_since(version), version) for version in versions if _since(version) <= today]
    return max(held, key=lambda pair: pair[0])[1] if held else None


def _since(version: Price) -> int:
    return 0 if version.effective_from is None else version.effective_from.toordinal()
