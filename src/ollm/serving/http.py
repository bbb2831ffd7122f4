"""What every ASGI application of ours does with a request and an answer, without a framework."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from ollm.errors import ApiError
from ollm.wire.errors import error_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
_MAX_QUERY_FIELDS = 32


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the header `name` (lowercase), or None when it is absent or stands there more than once."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0] if len(found) == 1 else None


def bearer(scope: Scope) -> str | None:
    """The token of `Authorization: Bearer` (RFC 6750 §2.1), or None when there is none or more than one."""
    value = header(scope, b"authorization")
    return bearer_of(value) if value is not None else None


def bearer_of(value: bytes) -> str | None:
    """The token in the value of one `Authorization` header; None when there is none."""
    if value[:7].lower() != b"bearer ":
        return None
    token = value[7:].strip()
    return token.decode() if token and token.isascii() else None


def query(scope: Scope) -> dict[str, str]:
    """Fields of the query string. Raises: ApiError 400 for a repeated field, too many, or bytes that are no UTF-8."""
    raw = scope["query_string"]
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        raise ApiError(400, "invalid_request_error", "invalid_query", "The query string can't be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ApiError(400, "invalid_request_error", "invalid_query", "A field of the query string is repeated.")
    return fields


async def read_body(scope: Scope, receive: Receive, limit: int, came: Callable[[int], None] | None = None) -> bytes:
    """The whole request body, at most `limit` bytes. `came` is told the size of each part of one that doesn't come at once; what it raises ends it.

    Raises: ApiError 413 as soon as it is known to be too large, before it is read if it says so; 415 for a compressed body,
    whose real size shows only when it is too late; 400 when the client leaves before its end.
    """
    fields = dict(scope["headers"])
    if b"content-encoding" in fields and any(name == b"content-encoding" and value.lower() != b"identity" for name, value in scope["headers"]):
        raise ApiError(415, "invalid_request_error", "unsupported_content_encoding", "Send the body without Content-Encoding.")
    if int(fields.get(b"content-length", 0)) > limit:
        raise too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        return body
    return await _read_rest(message, receive, limit, came)


async def _read_rest(message: Message, receive: Receive, limit: int, came: Callable[[int], None] | None) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise ApiError(400, "invalid_request_error", "incomplete_body", "The connection ended before the body did.")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        if came is not None:
            came(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def too_large(limit: int) -> ApiError:
    """413 for a body of more than `limit` bytes."""
    message = f"The body is larger than {limit} bytes."
    return ApiError(413, "invalid_request_error", "request_too_large", message, headers={"x-should-retry": "false"})


async def respond(send: Send, status: int, body: bytes, headers: Iterable[Header] = (), content_type: bytes = JSON) -> None:
    """Send one whole answer."""
    head = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def error_response(error: ApiError, dialect: str = "openai") -> tuple[int, Sequence[Header], bytes]:
    """Status, extra headers and body of `error` as clients of `dialect` read it; they are told not to repeat what would be refused again."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()]
    if error.status < 500 and error.status not in (408, 409, 429) and "x-should-retry" not in error.headers:
        headers.append((b"x-should-retry", b"false"))
    return error.status, headers, error_body(error.type, error.code, error.message, error.param, dialect=dialect, status=error.status)
