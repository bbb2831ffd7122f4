"""What an answer costs, in integers."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.traffic.price import cost_micro, differences, highest_micro, per_token
from ollm.values.price import RATES, Above, Price, Schedule
from ollm.values.usage import COMPLETION_BUCKETS, PROMPT_BUCKETS, Usage
from ollm.wire.catalogue import Offer

ONE = 1_000_000  # a price of one micro-unit per token


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        pytest.param(Usage(), Price(ONE, ONE), 0, id="nothing"),
        pytest.param(Usage(input_tokens=10, output_tokens=3), Price(2 * ONE, 5 * ONE), 35, id="input and output"),
        pytest.param(Usage(input_tokens=10, cached_tokens=4), Price(2 * ONE, 0, cached=ONE), 24, id="the cached price"),
        pytest.param(Usage(input_tokens=10, cached_tokens=4), Price(2 * ONE, 0), 28, id="cached as input without a price of its own"),
        pytest.param(Usage(input_tokens=10, cached_tokens=4), Price(2 * ONE, 0, cached=0), 20, id="cached for nothing"),
        pytest.param(Usage(output_tokens=1, reasoning_tokens=4), Price(0, ONE), 5, id="reasoning as output"),
        pytest.param(Usage(output_tokens=1, reasoning_tokens=4), Price(0, ONE, reasoning=3 * ONE), 13, id="reasoning at its own price"),
        pytest.param(Usage(cache_write_tokens=4, cache_write_long_tokens=2), Price(ONE, 0), 6, id="written as input"),
        pytest.param(Usage(cache_write_tokens=4, cache_write_long_tokens=2), Price(0, 0, cache_write=ONE, cache_write_long=2 * ONE), 8, id="written"),
        pytest.param(
            Usage(audio_input_tokens=1, audio_output_tokens=2, image_input_tokens=3, image_output_tokens=4),
            Price(0, 0, audio_input=ONE, audio_output=10 * ONE, image_input=100 * ONE, image_output=1000 * ONE),
            4321,
            id="sound and pictures",
        ),
        pytest.param(Usage(image_input_tokens=3), Price(ONE, 0), 3, id="pictures that go in, as input"),
        pytest.param(Usage(audio_input_tokens=1), Price(ONE, ONE), None, id="audio without a rate is unknown"),
        pytest.param(Usage(audio_output_tokens=1), Price(ONE, ONE), None, id="audio that was made without a rate is unknown"),
        pytest.param(Usage(image_output_tokens=1), Price(ONE, ONE), None, id="pictures that were made without a rate are unknown"),
        pytest.param(Usage(input_tokens=1), Price(output=ONE), None, id="no rate for input"),
        pytest.param(Usage(output_tokens=1), Price(ONE), None, id="no rate for output"),
        pytest.param(Usage(output_tokens=1), Price(0, 0), 0, id="a price of nothing isn't an unknown one"),
        pytest.param(Usage(), Price(0, 0, per_request=7), 7, id="the fee of a request"),
        pytest.param(Usage(images=3), Price(per_image=40_000), 120_000, id="pictures by the piece"),
        pytest.param(Usage(images=3, input_tokens=9, image_output_tokens=300), Price(per_image=5), 15, id="by the piece alone: tokens are free"),
        pytest.param(Usage(images=3, input_tokens=9, image_output_tokens=300), Price(ONE, per_image=5), 24, id="by the piece, and the text"),
        pytest.param(Usage(images=3, image_output_tokens=300), Price(ONE, 0, image_output=ONE), 300, id="pictures by their tokens"),
        pytest.param(Usage(images=1), Price(ONE, ONE), None, id="pictures that nothing pays for"),
        pytest.param(Usage(input_tokens=5), Price(per_image=5), None, id="by the piece, and nobody says how many"),
        pytest.param(Usage(audio_ms=90_500), Price(per_minute=6_000), 9_050, id="a minute and a half of audio"),
        pytest.param(Usage(audio_ms=1), Price(per_minute=6_000), 1, id="a millisecond of audio"),
        pytest.param(Usage(audio_ms=1), Price(ONE, ONE), None, id="audio by time, and no rate for time"),
        pytest.param(Usage(audio_ms=60_000, audio_input_tokens=5), Price(ONE, ONE, per_minute=9), 9, id="time in place of tokens"),
        pytest.param(Usage(characters=1_000), Price(per_million_characters=15 * ONE), 15_000, id="characters"),
        pytest.param(Usage(characters=1), Price(per_million_characters=1), 1, id="a character"),
        pytest.param(Usage(characters=9), Price(ONE, ONE, audio_output=ONE), None, id="speech by its tokens, and nobody counted them"),
        pytest.param(Usage(characters=9, audio_output_tokens=5), Price(ONE, ONE, audio_output=ONE), 5, id="speech by its tokens"),
        pytest.param(
            Usage(input_tokens=1, output_tokens=1, tier="flex"), Price(9 * ONE, 9 * ONE, tiers={"flex": Schedule(ONE, 2 * ONE)}), 3, id="flex"
        ),
        pytest.param(Usage(input_tokens=1, tier="default"), Price(9 * ONE, tiers={"flex": Schedule(ONE)}), 9, id="the usual tier"),
        pytest.param(Usage(input_tokens=1, tier="priority"), Price(9 * ONE, tiers={"flex": Schedule(ONE)}), None, id="a tier without rates"),
        pytest.param(Usage(input_tokens=101), Price(ONE, above=(Above(2 * ONE, tokens=100),)), 202, id="a long prompt"),
        pytest.param(Usage(input_tokens=100), Price(ONE, above=(Above(2 * ONE, tokens=100),)), 100, id="a prompt at the threshold"),
        pytest.param(Usage(input_tokens=1, cached_tokens=100), Price(ONE, above=(Above(2 * ONE, tokens=100),)), 202, id="cached tokens make it long"),
        pytest.param(
            Usage(input_tokens=101, tier="flex"),
            Price(ONE, tiers={"flex": Schedule(ONE, above=(Above(5 * ONE, tokens=100),))}),
            505,
            id="a long prompt of a tier",
        ),
        pytest.param(Usage(input_tokens=1, output_tokens=1, audio_ms=1), Price(1, 1, per_minute=60_000), 2, id="one rounding of all"),
        pytest.param(Usage(input_tokens=1), Price(1, 0), 1, id="rounded up"),
        pytest.param(Usage(input_tokens=ONE), Price(1, 0), 1, id="exact is not rounded"),
    ],
)
def test_each_bucket_is_paid_once(usage: Usage, price: Price, cost: int | None) -> None:
    assert cost_micro(usage, price) == cost


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 10**9))
def test_the_cost_is_whole_and_at_most_one_above_the_exact_one(fresh: int, cached: int, output: int, price: int) -> None:
    exact = (fresh + cached + output) * price
    cost = cost_micro(Usage(input_tokens=fresh, cached_tokens=cached, output_tokens=output), Price(price, price))
    assert cost is not None
    assert exact <= cost * ONE < exact + ONE


RATE = st.none() | st.integers(0, 10**12)
RATES_OF = st.fixed_dictionaries(dict.fromkeys(RATES, RATE))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    def rates() -> Any:
        return draw(RATES_OF)

    above = tuple(Above(tokens=tokens, **rates()) for tokens in draw(st.lists(st.integers(1, 500), max_size=2, unique=True)))
    flex = Schedule(above=above[:1], **rates())
    return Price(above=above, tiers={"flex": flex}, **rates())


@given(
    price=prices(),
    prompt=st.lists(st.integers(0, 200), min_size=6, max_size=6),
    completion=st.lists(st.integers(0, 200), min_size=4, max_size=4),
    units=st.fixed_dictionaries({"images": st.integers(0, 3), "audio_ms": st.integers(0, 100_000), "characters": st.integers(0, 1000)}),
    tier=st.sampled_from([None, "default", "flex"]),
)
def test_nothing_costs_more_than_the_highest_cost(price: Price, prompt: list[int], completion: list[int], units: Any, tier: Any) -> None:
    tokens: dict[str, Any] = dict(zip(PROMPT_BUCKETS + COMPLETION_BUCKETS, prompt + completion, strict=True))
    usage = Usage(**tokens, **units, tier=tier)
    cost = cost_micro(usage, price)
    assert cost is None or 0 <= cost <= highest_micro(price, usage.prompt_tokens, usage.completion_tokens, **units)


@pytest.mark.parametrize(
    ("price", "highest"),
    [
        (Price(ONE, 2 * ONE), 10 + 10),
        (Price(ONE, 2 * ONE, cache_write=3 * ONE), 30 + 10),
        (Price(ONE, 2 * ONE, reasoning=4 * ONE, per_request=100), 10 + 20 + 100),
        (Price(ONE, 2 * ONE, tiers={"priority": Schedule(5 * ONE, 6 * ONE)}), 50 + 30),
        (Price(ONE, 2 * ONE, above=(Above(7 * ONE, 8 * ONE, tokens=5),)), 70 + 40),
        (Price(ONE), 10),
        (Price(1, 1), 1),
    ],
)
def test_the_highest_cost_is_that_of_the_dearest_bucket_tier_and_length(price: Price, highest: int) -> None:
    assert highest_micro(price, 10, 5) == highest


def test_the_highest_cost_of_units_is_their_own() -> None:
    price = Price(per_image=1000, per_minute=60_000, per_million_characters=ONE)
    assert highest_micro(price, 10, 5, images=2, audio_ms=3, characters=4) == 2000 + 3 + 4


@pytest.mark.parametrize(
    ("price", "offer", "expected"),
    [
        (Price(1, 2), Offer("m", input=1, output=2), ()),
        (Price(1, 2), Offer("m"), ()),
        (Price(1, 2), Offer("m", input=2, output=0), ("input", "output")),
        (Price(1, 2), Offer("m", cached=0), ("cached",)),
        (Price(1, 2), Offer("m", cached=1), ()),
        (Price(1, 2, cached=0), Offer("m", cached=0), ()),
        (Price(1, 2, cached=0), Offer("m", cached=1), ("cached",)),
        (Price(1, 2), Offer("m", cache_write=1, reasoning=2, per_request=0), ()),
        (Price(1, 2), Offer("m", cache_write=2, audio_input=0, per_request=1), ("cache_write", "audio_input", "per_request")),
        (Price(1, 2, per_request=1), Offer("m", per_request=1), ()),
    ],
)
def test_which_rates_the_provider_lists_otherwise(price: Price, offer: Offer, expected: tuple[str, ...]) -> None:
    assert differences(price, offer) == expected


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0"), (1, "0.000000000001"), (150_000, "0.00000015"), (10 * ONE, "0.00001"), (ONE * ONE, "1"), (10 * ONE * ONE, "10")],
)
def test_the_price_of_a_token_is_a_plain_decimal_number(rate: int, text: str) -> None:
    assert per_token(rate) == text


@given(st.integers(0, 10**12))
def test_the_price_of_a_token_is_exact(rate: int) -> None:
    assert Decimal(per_token(rate)) * 10**12 == rate
