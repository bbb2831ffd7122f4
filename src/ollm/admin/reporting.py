"""What the control plane asks of the store's sums, and how it asks for them by OpenAI's names."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, get_args

import msgspec

from ollm.values.usage import COMPLETION_BUCKETS, PROMPT_BUCKETS

Dimension = Literal["project", "key", "model", "upstream", "endpoint", "level", "tier"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A range of time in buckets, and what is asked of it. Times are Unix seconds, and multiples of `width`."""

    start: int
    end: int  # exclusive
    width: int  # seconds: 60, 3600 or 86400
    group_by: tuple[Dimension, ...] = ()
    only: Mapping[Dimension, tuple[str, ...]] = {}  # a dimension → its values that count; absent: all


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Of one group in one bucket: requests that reached a provider, what they used and cost."""

    start: int  # of the bucket
    group: tuple[str | None, ...]  # as `Wanted.group_by`
    requests: int
    estimated: int  # of these requests: the provider gave no count
    unpriced: int  # of these requests: used something, and no price is known for it
    cost_micro: int
    counts: Mapping[str, int]  # by the names of values.usage.COUNTS

    @property
    def prompt_tokens(self) -> int:
        return sum(self.counts[name] for name in PROMPT_BUCKETS)

    @property
    def completion_tokens(self) -> int:
        return sum(self.counts[name] for name in COMPLETION_BUCKETS)


# `usage`: the sums of those buckets in the range that hold anything, by bucket. `last_uses`: key → when its last request began, in Unix
# seconds; keys without requests are absent. Both raise StoreError.
class Reports(Protocol):
    async def usage(self, wanted: Wanted) -> Sequence[Sums]: ...

    async def last_uses(self) -> Mapping[str, int]: ...


# OpenAI's pages of usage → the endpoints that count there. `rerank` is ours; nothing is used by counting tokens.
KINDS: Mapping[str, tuple[str, ...]] = {
    "completions": ("chat.completions", "completions", "responses", "messages"),
    "embeddings": ("embeddings",),
    "moderations": ("moderations",),
    "images": ("images.generations", "images.edits"),
    "audio_speeches": ("audio.speech",),
    "audio_transcriptions": ("audio.transcriptions", "audio.translations"),
    "rerank": ("rerank",),
}
UNCOUNTED = frozenset({"messages.count_tokens"})
# What a client groups by → the dimension. `upstream` and `level` are ours.
GROUPS: Mapping[str, Dimension] = {
    "project_id": "project",
    "api_key_id": "key",
    "model": "model",
    "service_tier": "tier",
    "upstream": "upstream",
    "level": "level",
}
COST_GROUPS: Mapping[str, Dimension] = {"project_id": "project", "api_key_id": "key", "line_item": "model", "upstream": "upstream"}
WIDTHS: Mapping[str, int] = {"1m": 60, "1h": 3600, "1d": 86_400}
LIMITS: Mapping[str, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}  # buckets of a page: usual and most (Usage API)
MAX_COST_DAYS = 180  # buckets of a page of costs (Costs API)
