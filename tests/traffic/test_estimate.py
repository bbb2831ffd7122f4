"""What is reserved: never less than a request can take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.traffic.charges import MOST, Load
from ollm.traffic.estimate import Figures, MediaTokens, Unestimated, estimate, input_tokens
from ollm.traffic.price import cost_micro
from ollm.values.price import Price
from ollm.values.usage import Usage

PRICE = Price(input=2_000_000, output=5_000_000)
MEDIA = MediaTokens(image=1000, audio_second=50, audio_bytes_per_token=32, file=5000)


@pytest.mark.parametrize(
    ("figures", "tokens"),
    [
        (Figures(text_bytes=0), 0),
        pytest.param(Figures(text_bytes=7), 4, id="rounded up"),
        (Figures(text_bytes=8, images=2), 2004),
        (Figures(text_bytes=0, audio_seconds=3), 150),
        pytest.param(Figures(text_bytes=0, audio_bytes=33), 2, id="audio is rounded up"),
        (Figures(text_bytes=0, files=1), 5000),
    ],
)
def test_what_goes_in(figures: Figures, tokens: int) -> None:
    assert input_tokens(figures, MEDIA) == tokens


@pytest.mark.parametrize(
    ("figures", "max_output", "load"),
    [
        (Figures(text_bytes=10, max_tokens=3), None, Load(tokens=8, micro=25)),
        pytest.param(Figures(text_bytes=10), 7, Load(tokens=12, micro=45), id="the model's longest answer where the client names none"),
        pytest.param(Figures(text_bytes=10, max_tokens=100), 7, Load(tokens=12, micro=45), id="a model says no more than it can"),
        pytest.param(Figures(text_bytes=10, max_tokens=3, answers=4), None, Load(tokens=17, micro=70), id="n answers"),
        pytest.param(Figures(text_bytes=10, answers_with_tokens=False), None, Load(tokens=5, micro=10), id="embeddings"),
    ],
)
def test_what_a_request_can_take(figures: Figures, max_output: int | None, load: Load) -> None:
    assert estimate(figures, PRICE, max_output, tokens=True, money=True, media=MEDIA) == load


def test_a_fee_for_each_request_counts_too() -> None:
    assert estimate(Figures(text_bytes=1, max_tokens=0), Price(1, 1, per_request=40), None, tokens=False, money=True) == Load(tokens=1, micro=41)


@pytest.mark.parametrize(("tokens", "money"), [(True, False), (False, True)])
def test_an_answer_without_a_known_end_is_refused_where_a_limit_holds(tokens: bool, money: bool) -> None:
    refused = estimate(Figures(text_bytes=2), PRICE, None, tokens=tokens, money=money)
    assert isinstance(refused, Unestimated)
    assert refused.lack == "max_tokens"
    assert "send max_tokens" in refused.message


def test_an_unknown_price_is_not_free_under_a_budget() -> None:
    figures = Figures(text_bytes=2, max_tokens=1)
    refused = estimate(figures, None, None, tokens=False, money=True)
    assert isinstance(refused, Unestimated)
    assert refused.lack == "price"
    assert estimate(figures, Price(0, 0), None, tokens=False, money=True) == Load(tokens=2, micro=0)  # 0 is a price


def test_what_nobody_limits_needs_no_bound() -> None:
    assert estimate(Figures(text_bytes=2), None, None, tokens=False, money=False) == Load(tokens=1, micro=0)
    assert estimate(Figures(text_bytes=2, max_tokens=4), None, None, tokens=True, money=False) == Load(tokens=5, micro=0)


def test_numbers_beyond_any_limit_are_refused() -> None:
    refused = estimate(Figures(text_bytes=2, max_tokens=MOST), PRICE, None, tokens=True, money=False)
    assert isinstance(refused, Unestimated)
    assert refused.lack == "size"


rates = st.integers(0, 10**9)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), rates, rates, st.none() | rates)
def test_a_request_never_costs_more_than_its_reserve(fresh: int, cached: int, out: int, going_in: int, coming_out: int, cheap: int | None) -> None:
    price = Price(going_in, coming_out, cached=cheap)
    reserve = estimate(Figures(text_bytes=2 * (fresh + cached), max_tokens=out), price, None, tokens=True, money=True)
    assert isinstance(reserve, Load)
    cost = cost_micro(Usage(input_tokens=fresh, cached_tokens=cached, output_tokens=out), price)
    assert cost is not None and cost <= reserve.micro
