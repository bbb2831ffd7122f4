"""What a client is told when a provider fails: our words only, since a provider's text can repeat the prompt."""

from ollm.errors import ApiError, ChannelRefused, ErrorAnswer, SealError, UpstreamError, WireError, let_go
from ollm.gateway.attested import unverified

_UNSEALABLE = {"UNSEALABLE_CONTENT", "UNSUPPORTED_ENDPOINT", "INVALID_INPUT"}
_CLIENT_SIDE = {400, 413, 415, 422}


def from_status(status: int, retry_after: str = "") -> ApiError:
    """The error for a provider's HTTP status."""
    if status == 429:
        headers = {"retry-after": retry_after} if retry_after.isascii() and retry_after.isdigit() else {}
        return ApiError(
            429, "rate_limit_error", "upstream_rate_limited", "The provider limits the rate of requests; try again later.", headers=headers
        )
    if status in _CLIENT_SIDE:
        message = f"The provider refused the request as malformed (HTTP {status}). Its own text is not passed on: it can repeat the prompt."
        return ApiError(400, "invalid_request_error", "upstream_rejected", message)
    if status in (401, 402, 403):
        return ApiError(
            502, "api_error", "upstream_credentials", "The provider does not accept this gateway's credentials; the operator must mend it."
        )
    if status == 404:
        return ApiError(502, "api_error", "upstream_model_missing", "The provider does not have the model that this route names.")
    return ApiError(502, "api_error", "upstream_error", f"The provider failed (HTTP {status}).")


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
