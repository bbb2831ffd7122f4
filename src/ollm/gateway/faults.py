"""What a client is told when a provider fails: our words only, since a provider's text can repeat the prompt."""

import math

from ollm.errors import (
    UNANSWERED,
    ApiError,
    ChannelRefused,
    ErrorAnswer,
    SealError,
    UpstreamAnswered,
    UpstreamError,
    UpstreamResting,
    WireError,
    let_go,
)
from ollm.gateway.attested import unverified
from ollm.traffic.attempts import Cause, Failure

_UNSEALABLE = {"UNSEALABLE_CONTENT", "UNSUPPORTED_ENDPOINT", "INVALID_INPUT"}
_CLIENT_SIDE = {400, 413, 415, 422}


def from_status(status: int, pause: float | None = None) -> ApiError:
    """The error for a provider's HTTP status; `pause`: seconds that it asked to be left alone, which is passed on."""
    headers = {"retry-after": str(math.ceil(pause))} if pause is not None else {}
    if status == 429:
        message = "The provider limits the rate of requests; try again later."
        return ApiError(429, "rate_limit_error", "upstream_rate_limited", message, headers=headers)
    if status in _CLIENT_SIDE:
        message = f"The provider refused the request as malformed (HTTP {status}). Its own text is not passed on: it can repeat the prompt."
        return ApiError(400, "invalid_request_error", "upstream_rejected", message)
    if status in (401, 402, 403):
        return ApiError(
            502, "api_error", "upstream_credentials", "The provider does not accept this gateway's credentials; the operator must mend it."
        )
    if status == 404:
        return ApiError(502, "api_error", "upstream_model_missing", "The provider does not have the model that this route names.")
    return ApiError(502, "api_error", "upstream_error", f"The provider failed (HTTP {status}).", headers=headers if status in (503, 529) else {})


def failure_of(problem: UpstreamError | ErrorAnswer) -> Failure:
    """What `problem` means for whether the request is tried again."""
    if isinstance(problem, ErrorAnswer):
        return Failure(Cause.ANSWERED, problem.stands_for, None, problem.other_key)
    if isinstance(problem, UpstreamAnswered):
        return Failure(Cause.ANSWERED, problem.status or 0, problem.pause, problem.other_key)
    if problem.phase == "connect":
        return Failure(Cause.UNREACHED)
    if problem.reason == UNANSWERED:
        return Failure(Cause.RESET)
    return Failure(Cause.LATE if problem.reason == "timed out" else Cause.BROKEN)


def unsealable(problem: SealError) -> ApiError:
    """The error for a request that the provider's protocol can't seal: part of it would go in the clear, so none of it goes."""
    if problem.code not in _UNSEALABLE:
        return from_exception(problem)
    message = "The provider's protocol has no sealed form for a part of this request, or for this endpoint. The prompt was not forwarded."
    return ApiError(400, "invalid_request_error", "unsealable_content", message)


def from_exception(problem: Exception) -> ApiError:
    """The error for a provider that broke the exchange. That is then dealt with: the frames it came through are let go."""
    let_go(problem)
    if isinstance(problem, ChannelRefused):
        message = "The provider's machine changed its key before this request was sent; it is being verified again. The prompt was not forwarded."
        return unverified(message)
    if isinstance(problem, UpstreamAnswered):
        return from_status(problem.status or 0, problem.pause)
    if isinstance(problem, UpstreamResting):
        message = "The provider failed so often of late that it is left alone for a moment. The prompt was not forwarded."
        return ApiError(503, "api_error", "upstream_unavailable", message, headers={"retry-after": str(max(1, math.ceil(problem.seconds)))})
    if isinstance(problem, UpstreamError):
        if problem.reason == "timed out":
            return ApiError(504, "api_error", "upstream_timeout", f"The provider did not answer in time (phase: {problem.phase}).")
        return ApiError(502, "api_error", "upstream_error", f"The connection to the provider failed (phase: {problem.phase}).")
    if isinstance(problem, SealError):
        return ApiError(
            502, "api_error", "upstream_unsealed", "The provider's answer could not be opened with the sealed request's key; it was discarded."
        )
    if isinstance(problem, ErrorAnswer):
        if problem.status is not None:
            return from_status(problem.status)
        return ApiError(502, "api_error", "upstream_error", "The provider answered with an error.")
    if isinstance(problem, WireError):
        return ApiError(502, "api_error", "upstream_garbled", "The provider's answer is not what the API defines; it was discarded.")
    raise problem
