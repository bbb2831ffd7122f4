"""What an answer costs, in integers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.traffic.price import cost_micro, differences, per_token
from ollm.values.usage import Price, Usage
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
        pytest.param(Usage(output_tokens=5, reasoning_tokens=4), Price(0, ONE), 5, id="reasoning is a part of output"),
        pytest.param(Usage(input_tokens=1), Price(1, 0), 1, id="rounded up"),
        pytest.param(Usage(input_tokens=ONE), Price(1, 0), 1, id="exact is not rounded"),
    ],
)
def test_each_bucket_is_paid_once(usage: Usage, price: Price, cost: int) -> None:
    assert cost_micro(usage, price) == cost


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 10**9))
def test_the_cost_is_whole_and_at_most_one_above_the_exact_one(fresh: int, cached: int, output: int, price: int) -> None:
    exact = (fresh + cached + output) * price
    cost = cost_micro(Usage(input_tokens=fresh, cached_tokens=cached, output_tokens=output), Price(price, price))
    assert exact <= cost * ONE < exact + ONE


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
