"""Token counts in disjoint buckets, so that pricing can't count a token twice."""

from typing import Annotated

import msgspec

# Times 2^40 tokens, the most that an answer is believed to have, it still fits the ledger's 64-bit integers.
Rate = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer. Buckets do not overlap: prompt = input + cached; reasoning is a part of output."""

    input_tokens: int = 0  # uncached prompt tokens
    cached_tokens: int = 0  # prompt tokens read from the provider's cache
    output_tokens: int = 0  # all completion tokens, reasoning included
    reasoning_tokens: int = 0  # part of output_tokens, for information
    estimated: bool = False  # true when the provider gave no count (cut stream, disconnect)


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Micro-units of currency per million tokens (1 USD per million tokens = 1_000_000)."""

    input: Rate
    output: Rate
    cached: Rate | None = None  # None: as input
    version: str = "config"
