"""What one answer used, in buckets that do not overlap, so that pricing can't count a token twice.

    prompt      input + cached + cache_write + cache_write_long + audio_input + image_input
    completion  output + reasoning + audio_output + image_output

The sum of all of them is the provider's total. `wire.usage` says how each API's counts become these.
"""

from typing import Literal, get_args

import msgspec

# The tier that served an answer, as the answer says: OpenAI's `service_tier` and Anthropic's `usage.service_tier`. No word of a provider's
# that isn't listed here is kept.
Tier = Literal["default", "standard", "flex", "priority", "scale", "fast", "batch", "other"]
TIERS: tuple[Tier, ...] = get_args(Tier)


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one answer, in disjoint buckets, and what is counted otherwise."""

    input_tokens: int = 0  # prompt: text that was neither read from the provider's cache nor written to it
    cached_tokens: int = 0  # prompt: read from the provider's cache
    cache_write_tokens: int = 0  # prompt: written to the provider's cache, for minutes
    cache_write_long_tokens: int = 0  # prompt: written to the provider's cache for an hour (Anthropic)
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0  # completion: text without the reasoning
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0  # pictures that were made
    audio_ms: int = 0  # milliseconds of audio that was heard, where the provider counts time and not tokens
    characters: int = 0  # of text that was spoken
    estimated: bool = False  # true when the provider gave no count (cut stream, disconnect)
    count_mismatch: bool = False  # the provider's own total isn't the sum of its parts
    tier: Tier | None = None  # None: the answer names none

    @property
    def prompt_tokens(self) -> int:
        text = self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.cache_write_long_tokens
        return text + self.audio_input_tokens + self.image_input_tokens

    @property
    def completion_tokens(self) -> int:
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens + self.image_output_tokens

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


# What an answer is paid for, each with a rate of its own.
PROMPT_BUCKETS = ("input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_long_tokens", "audio_input_tokens", "image_input_tokens")
COMPLETION_BUCKETS = ("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")
TOKEN_BUCKETS = PROMPT_BUCKETS + COMPLETION_BUCKETS
UNITS = ("images", "audio_ms", "characters")
COUNTS = TOKEN_BUCKETS + UNITS
