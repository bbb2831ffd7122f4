"""What is refused below the application, beyond what httptools (llhttp, strict) refuses by itself.

llhttp answers for: bare CR or LF, line folding, space before a colon, empty or non-token names, control characters, NUL,
Transfer-Encoding beside Content-Length, repeated or malformed Content-Length, malformed chunks. Tests pin that. The rest is
here, so that nothing which two servers could read differently reaches a route (RFC 9112 §3, §6, §11).
"""

import os
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from ollm.serving.http import JSON, Header
from ollm.wire.errors import error_body

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
STATUS_LINES = {status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode() for status in range(200, 600)}


class Refusal:
    """An answer made without the application: `status` and OpenAI's error members."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, code: str, message: str, *, type: str = "invalid_request_error") -> None:
        self.status = status
        self.body = error_body(type, code, message)

    def response(self, headers: Iterable[Header]) -> bytes:
        """The whole answer, the last one of its connection; `headers` are those of every answer of this server."""
        lines = [STATUS_LINES[self.status]]
        given = list(headers)
        if all(name != b"x-request-id" for name, _ in given):
            given.append((b"x-request-id", b"req_" + os.urandom(16).hex().encode()))
        given += (
            (b"content-type", JSON),
            (b"content-length", str(len(self.body)).encode()),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        )
        if self.status < 500 and self.status != 408:
            given.append((b"x-should-retry", b"false"))
        lines += (name + b": " + value + b"\r\n" for name, value in given)
        return b"".join((*lines, b"\r\n", self.body))


BAD_REQUEST = Refusal(400, "bad_http_request", "The request is not valid HTTP/1.1.")
BADHOST = Refusal(400, "bad_host", "Exactly one valid Host header is required.")
BAD_TARGET = Refusal(400, "bad_request_target", "The request target must be a path.")
BAD_UPGRADE = Refusal(400, "upgrade_not_supported", "No other protocol is spoken here; send the request without Upgrade.")
BAD_METHOD = Refusal(501, "method_not_implemented", "This method is not implemented.")
BAD_VERSION = Refusal(505, "http_version_not_supported", "Use HTTP/1.1.")
BAD_TRANSFER = Refusal(501, "transfer_encoding_not_supported", "The only transfer encoding here is chunked.")
BAD_EXPECT = Refusal(417, "expectation_failed", "The only expectation here is 100-continue.")
LONG_TARGET = Refusal(414, "uri_too_long", "The request target is too long.")
LARGE_HEADERS = Refusal(431, "headers_too_large", "The request has too many or too large headers.")
TOO_MANY_QUEUED = Refusal(400, "too_many_pipelined_requests", "Wait for answers before sending more requests on one connection.")
SLOW_HEADERS = Refusal(408, "request_timeout", "The request's headers did not arrive in time.")
SLOW_BODY = Refusal(408, "request_timeout", "The request's body did not arrive in time.")
OVERLOADED = Refusal(503, "overloaded", "The server has as many connections as it may.", type="api_error")
FAILED = Refusal(500, "internal_error", "The server failed; the request was not completed.", type="api_error")
STOPPING = Refusal(503, "shutting_down", "The server is shutting down.", type="api_error")

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
FRAMING_HEADERS = frozenset((b"host", b"transfer-encoding", b"expect"))

HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


def check_request(version: str, method: bytes, *, host_seen: bool, upgrade: bool) -> Refusal | None:
    """Judge a request line and what its headers amounted to; None: it stands."""
    if version != "1.1":
        return BAD_VERSION
    if method not in METHODS:
        return BAD_METHOD
    if not host_seen:
        return BADHOST
    return BAD_UPGRADE if upgrade else None


def check_framing_header(name: bytes, value: bytes, host_seen: bool) -> Refusal | None:
    """Judge one header of `FRAMING_HEADERS` (`name` in lowercase); None: it stands."""
    if name == b"host":
        return None if not host_seen and HOST.fullmatch(value) else BADHOST
    if name == b"transfer-encoding":
        return None if value.lower() == b"chunked" else BAD_TRANSFER
    return None if value.lower() == b"100-continue" else BAD_EXPECT


def check_size(headers: Iterable[Header], limit: int) -> Refusal | None:
    """Judge the size of all headers with their separators."""
    return LARGE_HEADERS if sum(len(name) + len(value) + 4 for name, value in headers) > limit else None


def read_target(target: bytes, limit: int, scope: dict[str, Any]) -> Refusal | None:
    """Put path and query of `target` into `scope`; only the origin form is taken (RFC 9112 §3.2.1)."""
    if len(target) > limit:
        return LONG_TARGET
    if target[:1] != b"/" or b"#" in target or not target.isascii():
        return BAD_TARGET
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("ascii")
    scope["path"] = unquote(path) if "%" in path else path
    scope["raw_path"] = raw_path
    scope["query_string"] = query
    return None
