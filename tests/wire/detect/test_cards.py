"""Payment cards."""

import pytest

from ollm.wire.detect.cards import PAYMENT_CARD
from tests.wire.detect.finding import found


@pytest.mark.parametrize(
    "card",
    ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "3782 822463 10005", "3600 000000 0008", "4111\u00a01111\u00a01111\u00a01111"],
)
def test_found(card: str) -> None:
    assert found(PAYMENT_CARD, f"12 {card}. Thanks") == [card]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # check digit
        "9111111111111116",  # no issuer
        "0000 0000 0000 0000",
        "411111111111111",  # too short for its issuer
        "a4111111111111111",
        "4111111111111111b",
        "0.4111111111111111",  # a fraction
        "4111 1111-1111 1111",  # two kinds of separators
    ],
)
def test_not_found(text: str) -> None:
    assert found(PAYMENT_CARD, text) == []
