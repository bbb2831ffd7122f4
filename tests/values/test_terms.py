"""What terms can say, and what they can't."""

import msgspec
import pytest

from ollm.values.terms import NO_TERMS, Budget, Limit, Terms


def test_terms_go_through_json_and_back() -> None:
    terms = Terms(
        models=("small", "org/large"),
        networks=("10.0.0.0/8", "::1"),
        limits=(Limit(requests_per_minute=60), Limit(model="small", tokens_per_day=0)),
        budgets=(Budget(limit_micro=5_000_000, window="week", alerts=(50, 100)),),
        max_request_micro=100_000,
    )
    assert msgspec.json.decode(msgspec.json.encode(terms), type=Terms) == terms


def test_no_terms_restrict_nothing_and_take_no_room() -> None:
    assert msgspec.json.encode(NO_TERMS) == b"{}"


@pytest.mark.parametrize(
    "text",
    [
        b'{"surprise": 1}',
        b'{"models": ["has space"]}',
        b'{"models": [""]}',
        b'{"models": ["small\\n"]}',
        b'{"networks": ["10.0.0.0/8\\n"]}',
        b'{"networks": ["example.com"]}',
        b'{"budgets": [{"limit_micro": -1}]}',
        b'{"budgets": [{"limit_micro": 1, "window": "fortnight"}]}',
        b'{"budgets": [{"limit_micro": 1, "alerts": [0]}]}',
        b'{"limits": [{"requests_per_minute": 1.5}]}',
        b'{"limits": [{"requests_per_minute": -1}]}',
        b'{"require": "none"}',
    ],
)
def test_what_terms_cannot_say(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Terms)
