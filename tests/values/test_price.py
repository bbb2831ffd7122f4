"""Which rate is paid: that of the bucket, of its fallback, of the threshold, of the tier, of the version of the day."""

import datetime

import pytest

from ollm.values.price import FALLBACKS, RATES, TOKEN_RATES, Above, Price, Rates, Schedule, price_at
from ollm.values.usage import TOKEN_BUCKETS, Tier

DAY_MS = 86_400_000
JULY, AUGUST = datetime.date(2026, 7, 1), datetime.date(2026, 8, 1)
JULY_MS = (JULY - datetime.date(1970, 1, 1)).days * DAY_MS
AUGUST_MS = (AUGUST - datetime.date(1970, 1, 1)).days * DAY_MS


def test_every_bucket_has_a_rate_of_its_own() -> None:
    assert set(FALLBACKS) == set(TOKEN_BUCKETS)
    assert {names[0] for names in FALLBACKS.values()} == set(TOKEN_RATES)
    assert set(TOKEN_RATES) < set(RATES)


@pytest.mark.parametrize(
    ("bucket", "rate"),
    [
        ("input_tokens", 1),
        ("cached_tokens", 1),
        ("cache_write_tokens", 1),
        ("cache_write_long_tokens", 1),
        ("image_input_tokens", 1),
        ("output_tokens", 2),
        ("reasoning_tokens", 2),
        ("audio_input_tokens", None),
        ("audio_output_tokens", None),
        ("image_output_tokens", None),
    ],
)
def test_what_stands_in_for_a_rate_that_is_absent(bucket: str, rate: int | None) -> None:
    assert Rates(1, 2).rate(bucket) == rate


def test_a_rate_of_its_own_counts_even_when_it_is_zero() -> None:
    rates = Rates(1, 2, **dict.fromkeys(TOKEN_RATES[2:], 0))
    assert {bucket: rates.rate(bucket) for bucket in TOKEN_BUCKETS[1:] if bucket != "output_tokens"} == dict.fromkeys(
        (bucket for bucket in TOKEN_BUCKETS[1:] if bucket != "output_tokens"), 0
    )
    assert Rates(1, cache_write=7).rate("cache_write_long_tokens") == 7


def test_stated_is_what_is_there() -> None:
    assert Rates(1, per_image=0).stated() == {"input", "per_image"}
    assert Price().stated() == frozenset()


def test_all_of_a_long_prompt_is_paid_at_the_highest_threshold_that_it_exceeds() -> None:
    longer, long = Above(3, tokens=300), Above(2, tokens=200)
    schedule = Schedule(1, above=(longer, long))
    assert [schedule.rates_for(tokens) for tokens in (0, 200, 201, 300, 301)] == [schedule, schedule, long, long, longer]


@pytest.mark.parametrize(("tier", "own"), [(None, True), ("default", True), ("standard", True), ("priority", False), ("other", False)])
def test_a_tier_without_rates_has_no_known_price(tier: Tier | None, own: bool) -> None:
    flex = Schedule(1, 2)
    price = Price(2, 4, tiers={"flex": flex})
    assert price.schedule(tier) is (price if own else None)
    assert price.schedule("flex") is flex


def test_the_newest_version_that_holds_at_the_beginning_of_the_request_counts() -> None:
    always, july, august = Price(1), Price(2, effective_from=JULY), Price(3, effective_from=AUGUST)
    for versions in ((always, july, august), (august, always, july)):
        found = [price_at(versions, moment) for moment in (0, JULY_MS - 1, JULY_MS, AUGUST_MS - 1, AUGUST_MS)]
        assert found == [always, always, july, july, august]
    assert price_at((july,), JULY_MS - 1) is None
    assert price_at((july,), JULY_MS) is july
    assert price_at((always,), 0) is always
    assert price_at((), JULY_MS) is None
