"""Buckets are disjoint: each token is in one, and the sums are over all of them."""

from hypothesis import given
from hypothesis import strategies as st

from ollm.values.usage import COMPLETION_BUCKETS, COUNTS, PROMPT_BUCKETS, TIERS, TOKEN_BUCKETS, UNITS, Usage


@given(counts=st.lists(st.integers(0, 2**40), min_size=len(COUNTS), max_size=len(COUNTS)))
def test_sums_are_over_all_buckets_of_tokens_and_over_nothing_else(counts: list[int]) -> None:
    values = dict(zip(COUNTS, counts, strict=True))
    usage = Usage(**values)  # type: ignore[arg-type]
    assert usage.prompt_tokens == sum(values[bucket] for bucket in PROMPT_BUCKETS)
    assert usage.completion_tokens == sum(values[bucket] for bucket in COMPLETION_BUCKETS)
    assert usage.total_tokens == sum(values[bucket] for bucket in TOKEN_BUCKETS)


def test_every_field_is_a_bucket_a_unit_or_a_mark() -> None:
    assert set(Usage.__struct_fields__) == {*TOKEN_BUCKETS, *UNITS, "estimated", "count_mismatch", "tier"}
    assert len(TIERS) == len(set(TIERS))
