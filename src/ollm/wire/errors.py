"""OpenAI's error object: what every refusal on the API looks like (OpenAPI `ErrorResponse`; all four members required)."""

import msgspec


class _Error(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(msgspec.Struct, frozen=True):
    error: _Error


_encode = msgspec.json.Encoder().encode


def error_body(type: str, code: str | None, message: str, param: str | None = None) -> bytes:
    """The JSON body of an error answer, without a newline, so that it can stand in an SSE `data` line as well."""
    return _encode(_Body(_Error(message, type, param, code)))
