"""What a client is told: headers as OpenAI writes them, and refusals that its SDKs understand."""

import pytest

from ollm.traffic.charges import Charges, Load
from ollm.traffic.ratelimit import duration, headers, refusal, too_costly
from ollm.values.terms import Budget, Limit, Terms
from tests.charging import charges

NOW = 1_795_478_700 + 20  # twenty seconds into a minute
NOW_MS = NOW * 1000 + 250


def made(*standing: tuple[str, Terms], tokens: int = 10, micro: int = 5) -> Charges:
    return charges(standing, "acme/large", Load(tokens=tokens, micro=micro), NOW)


def shown(charges: Charges, values: tuple[int, ...]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers(charges.meters, values, NOW_MS)}


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-1, "0ms"),
        (0, "0ms"),
        (12, "12ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1001, "2s"),
        (59_001, "1m0s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (86_399_999, "24h0m0s"),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


def test_headers_tell_of_the_limit_with_the_least_left() -> None:
    found = made(
        ("proj_1", Terms(limits=(Limit(requests_per_minute=100, tokens_per_minute=1000),))),
        ("k", Terms(limits=(Limit(requests_per_day=50, tokens_per_minute=900),))),
    )
    assert shown(found, (60, 150, 5, 40)) == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "40",
        "x-ratelimit-reset-requests": "40s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "850",
        "x-ratelimit-reset-tokens": "40s",
    }


def test_no_limit_has_no_headers_and_nothing_left_is_not_negative() -> None:
    assert shown(made(("k", Terms(limits=(Limit(parallel=1),), budgets=(Budget(limit_micro=9),)))), (1, 5)) == {}
    assert shown(made(("k", Terms(limits=(Limit(requests_per_day=1),)))), (7,))["x-ratelimit-remaining-requests"] == "0"


def test_a_limit_of_requests_says_when_to_come_back() -> None:
    verdict = refusal(made(("k", Terms(limits=(Limit(requests_per_minute=3),)))), (3,), 0, NOW_MS)
    assert (verdict.status, verdict.type, verdict.code) == (429, "requests", "rate_limit_exceeded")
    assert verdict.headers["retry-after"] == "40"
    assert verdict.headers["retry-after-ms"] == "39750"
    assert verdict.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in verdict.headers
    assert verdict.message == "This key's limit of 3 requests a minute is reached. Try again in 40s."


def test_at_the_edge_of_a_window_the_wait_is_never_nothing() -> None:
    found = made(("k", Terms(limits=(Limit(requests_per_minute=3),))))
    end = found.meters.each[0].end
    for now_ms in (end * 1000 - 1, end * 1000, end * 1000 + 5000):
        verdict = refusal(found, (3,), 0, now_ms)
        assert (verdict.headers["retry-after"], verdict.headers["retry-after-ms"]) == ("1", "1")


def test_a_limit_of_tokens_names_its_model_and_whose_it_is() -> None:
    verdict = refusal(made(("proj_1", Terms(limits=(Limit(model="acme/large", tokens_per_day=100),)))), (95,), 0, NOW_MS)
    assert (verdict.type, verdict.code) == ("tokens", "rate_limit_exceeded")
    assert verdict.message.startswith("This project's limit of 100 tokens a day for acme/large is reached.")


def test_a_request_larger_than_its_limit_is_not_tried_again() -> None:
    verdict = refusal(made(("k", Terms(limits=(Limit(tokens_per_minute=9),)))), (0,), 0, NOW_MS)
    assert (verdict.status, verdict.type, verdict.code, verdict.headers["x-should-retry"]) == (429, "tokens", "rate_limit_exceeded", "false")
    assert "retry-after" not in verdict.headers


def test_requests_under_way_free_their_place_at_any_time() -> None:
    verdict = refusal(made(("org_1", Terms(limits=(Limit(parallel=2),)))), (2,), 0, NOW_MS)
    assert (verdict.code, verdict.headers["retry-after"]) == ("rate_limit_exceeded", "1")
    assert verdict.message == "This organization's limit of 2 requests at a time is reached. Try again in 1s."


def test_a_budget_is_no_rate() -> None:
    terms = Terms(limits=(Limit(requests_per_minute=9),), budgets=(Budget(limit_micro=7),))
    verdict = refusal(made(("k", terms)), (1, 6), 1, NOW_MS)
    assert (verdict.status, verdict.type, verdict.code) == (429, "insufficient_quota", "insufficient_quota")
    assert verdict.headers["x-should-retry"] == "false"
    assert "retry-after" not in verdict.headers
    assert verdict.headers["x-ratelimit-remaining-requests"] == "8"
    assert "7" not in verdict.message


def test_the_most_that_one_request_may_cost() -> None:
    verdict = too_costly()
    assert (verdict.status, verdict.code, verdict.headers["x-should-retry"]) == (403, "request_too_costly", "false")
