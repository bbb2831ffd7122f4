"""What a client is told when a provider fails: a fixed text for each failure, and never a word of the provider's."""

import pytest

from ollm.errors import UNANSWERED, ChannelRefused, ErrorAnswer, SealError, UpstreamAnswered, UpstreamError, UpstreamResting, WireError
from ollm.gateway.faults import failure_of, from_exception, from_status, unsealable
from ollm.traffic.attempts import Cause, Failure

SECRET = "Hello there"


@pytest.mark.parametrize(
    ("status", "ours", "code"),
    [
        (400, 400, "upstream_rejected"),
        (413, 400, "upstream_rejected"),
        (415, 400, "upstream_rejected"),
        (422, 400, "upstream_rejected"),
        (401, 502, "upstream_credentials"),
        (402, 502, "upstream_credentials"),
        (403, 502, "upstream_credentials"),
        (404, 502, "upstream_model_missing"),
        (429, 429, "upstream_rate_limited"),
        (201, 502, "upstream_error"),
        (301, 502, "upstream_error"),
        (500, 502, "upstream_error"),
        (529, 502, "upstream_error"),
    ],
)
def test_each_status_of_a_provider_has_one_of_ours(status: int, ours: int, code: str) -> None:
    error = from_status(status, None)
    assert (error.status, error.code) == (ours, code)
    assert not error.headers


@pytest.mark.parametrize(("pause", "passed_on"), [(7.0, {"retry-after": "7"}), (0.2, {"retry-after": "1"}), (0.0, {"retry-after": "0"}), (None, {})])
def test_a_pause_is_passed_on_in_whole_seconds(pause: float | None, passed_on: dict[str, str]) -> None:
    for status in (429, 503, 529):
        assert from_status(status, pause).headers == passed_on
    assert from_status(500, pause).headers == {}


@pytest.mark.parametrize(
    ("problem", "failure"),
    [
        (UpstreamError("connect", "ConnectionRefusedError"), Failure(Cause.UNREACHED)),
        (UpstreamError("connect", "timed out"), Failure(Cause.UNREACHED)),
        (UpstreamError("headers", UNANSWERED), Failure(Cause.RESET)),
        (UpstreamError("headers", "timed out"), Failure(Cause.LATE)),
        (UpstreamError("headers", "the provider's answer is not valid HTTP"), Failure(Cause.BROKEN)),
        (UpstreamAnswered(429, 2.5, other_key=True), Failure(Cause.ANSWERED, 429, 2.5, other_key=True)),
    ],
)
def test_what_a_failure_means_for_another_attempt(problem: UpstreamError, failure: Failure) -> None:
    assert failure_of(problem) == failure


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        pytest.param(ChannelRefused("ab", "cd"), 503, "upstream_verification_failed", id="another key"),
        pytest.param(UpstreamError("headers", "timed out"), 504, "upstream_timeout", id="silence"),
        pytest.param(UpstreamResting(0.4), 503, "upstream_unavailable", id="left alone"),
        pytest.param(UpstreamAnswered(429, None, other_key=False), 429, "upstream_rate_limited", id="a status"),
        pytest.param(UpstreamError("stream", SECRET), 502, "upstream_error", id="a cut"),
        pytest.param(SealError("AEAD_DECRYPT_FAILED", SECRET), 502, "upstream_unsealed", id="not sealed"),
        pytest.param(WireError(SECRET), 502, "upstream_garbled", id="garbage"),
        pytest.param(ErrorAnswer(429), 429, "upstream_rate_limited", id="an error with status 200"),
        pytest.param(ErrorAnswer(None), 502, "upstream_error", id="an error of an unknown kind with status 200"),
    ],
)
def test_each_failure_has_its_code_and_keeps_its_text_to_itself(problem: Exception, status: int, code: str) -> None:
    error = from_exception(problem)
    assert (error.status, error.code) == (status, code)
    assert SECRET not in error.message


def test_who_meets_routes_that_rest_is_told_when_to_come_back() -> None:
    assert [from_exception(UpstreamResting(seconds)).headers["retry-after"] for seconds in (0.1, 4.2)] == ["1", "5"]


def test_the_phase_is_named() -> None:
    for phase in ("connect", "headers", "first_byte", "stream"):
        assert f"(phase: {phase})" in from_exception(UpstreamError(phase, "timed out")).message
        assert f"(phase: {phase})" in from_exception(UpstreamError(phase, "cut")).message


def test_what_is_no_failure_of_a_provider_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        from_exception(ZeroDivisionError())


@pytest.mark.parametrize("code", ["UNSEALABLE_CONTENT", "UNSUPPORTED_ENDPOINT", "INVALID_INPUT"])
def test_what_can_not_be_sealed_is_the_requests_fault(code: str) -> None:
    error = unsealable(SealError(code, SECRET))

    assert (error.status, error.code) == (400, "unsealable_content")
    assert SECRET not in error.message


def test_a_key_that_can_not_be_sealed_to_is_the_providers() -> None:
    assert unsealable(SealError("INVALID_KEY_CONFIG")).status == 502
