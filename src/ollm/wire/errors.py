"""What every refusal on the API looks like: OpenAI's error object, or Anthropic's on the endpoints that its clients ask.

openai      {"error":{"message":…,"type":…,"param":…,"code":…}}                      OpenAPI `ErrorResponse`; all four members required
anthropic   {"type":"error","error":{"type":…,"message":…,"param":…,"code":…}}       Messages API, Errors; ours are param and code
"""

import contextlib

import msgspec

STREAM_TYPE = "upstream_error"
STREAM_CODE = "upstream_stream_failed"
STREAM_MESSAGE = "The provider failed while it was answering."
_ANTHROPIC_TYPES = {  # by HTTP status; clients choose their exception by the status, people read the type
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


_SAID = {  # by code or type: OpenAI's, Anthropic's, and those of engines that follow OpenAI
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "BadRequestError": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "api_error": 500,
    "InternalServerError": 500,
    "overloaded_error": 503,
    "timeout_error": 504,
}


class _Said(msgspec.Struct):
    code: int | str | None = None
    type: str | None = None


_said = msgspec.json.Decoder(_Said).decode


class _Error(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct, frozen=True):
    error: _Error


class _Tagged(msgspec.Struct, frozen=True):
    error: _Error
    type: str = "error"


_encode = msgspec.json.Encoder().encode


def error_body(type: str, code: str | None, message: str, param: str | None = None, *, dialect: str = "openai", status: int = 500) -> bytes:
    """The JSON body of an error answer, without a newline, so that it can stand in an SSE `data` line as well.

    `status` is the answer's, of which Anthropic's types are made.
    """
    if dialect != "anthropic":
        return _encode(_Body(_Error(message, type, param, code)))
    named = _ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return _encode(_Tagged(_Error(message, named, param, code)))


def status_said(error: msgspec.Raw | bytes) -> int | None:
    """The HTTP status that a provider's error object stands for, by its code or its type; None: it says neither in words that are known.

    Providers that fail after they sent their status say it this way; some say it with each failure (OpenRouter, Error handling).
    """
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = _said(error)
        if isinstance(said.code, str) and said.code.isascii() and said.code.isdigit():
            said.code = int(said.code[:4])
        if isinstance(said.code, int):
            return said.code if 400 <= said.code <= 599 else None
        return _SAID.get(said.code or "") or _SAID.get(said.type or "")
    return None


class _Holder(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"null")
    response: msgspec.Raw = msgspec.Raw(b"null")


_holder = msgspec.json.Decoder(_Holder).decode


def status_in(body: msgspec.Raw | bytes) -> int | None:
    """The same for what holds the error object: a whole body or event, or the `response` in it. Without a holder `body` is the error itself."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        held = _holder(body)
        if bytes(held.response) != b"null":
            held = _holder(held.response)
        if bytes(held.error) != b"null":
            return status_said(held.error)
    return status_said(body)


def error_event(message: str, type: str, code: str | None, *, dialect: str = "openai", status: int = 500) -> bytes:
    """The event that SDKs raise on; the stream then ends without its end mark.

    OpenAI's look for JSON data with a truthy top-level `error`, Anthropic's for an event of that name.
    `status` is what it would have been, of which Anthropic's types are made.
    """
    name = b"event: error\n" if dialect == "anthropic" else b""
    return name + b"data: " + error_body(type, code, message, dialect=dialect, status=status) + b"\n\n"


def stream_failed(dialect: str) -> bytes:
    """The event for a provider that sent an error in the middle of its answer: our words, since its own may repeat the prompt."""
    return error_event(STREAM_MESSAGE, STREAM_TYPE, STREAM_CODE, dialect=dialect)
