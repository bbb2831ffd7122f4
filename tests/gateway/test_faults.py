"""What a client is told when a provider fails: a fixed text for each failure, and never a word of the provider's."""

import pytest

from ollm.errors import ChannelRefused, ErrorAnswer, SealError, UpstreamError, WireError
from ollm.gateway.faults import from_exception, from_status, unsealable

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
    error = from_status(status, "")
    assert (error.status, error.code) == (ours, code)
    assert not error.headers


@pytest.mark.parametrize(("given", "passed_on"), [("7", {"retry-after": "7"}), ("", {}), ("Hello there", {}), ("-1", {}), ("1\r\nx: y", {})])
def test_a_wait_is_passed_on_only_when_it_is_a_number(given: str, passed_on: dict[str, str]) -> None:
    assert from_status(429, given).headers == passed_on
    assert from_status(503, given).headers == {}


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        pytest.param(ChannelRefused("ab", "cd"), 503, "upstream_verification_failed", id="another key"),
        pytest.param(UpstreamError("headers", "timed out"), 504, "upstream_timeout", id="silence"),
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
