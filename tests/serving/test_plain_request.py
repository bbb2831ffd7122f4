"""Whole requests in one read, taken apart without a parser: the same as httptools makes of them, or left to it."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.serving.limits import Limits
from ollm.serving.plain_request import plain_request

LIMITS = Limits()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n"


class Told:
    """What httptools says of a request."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ends = 0
        self.method = self.version = ""
        self.stays = self.upgrades = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.method = self._parser.get_method().decode()
        self.version = self._parser.get_http_version()
        self.stays = self._parser.should_keep_alive()
        self.upgrades = self._parser.should_upgrade()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ends += 1


def test_a_request_in_one_read() -> None:
    data = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a.b:80\r\nX-Note: a b\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n{}"
    headers = [(b"host", b"a.b:80"), (b"x-note", b"a b"), (b"content-length", b"2"), (b"connection", b"Keep-Alive")]
    assert plain_request(data, LIMITS) == ("POST", b"/v1/x?y=1", headers, b"{}")


def test_a_request_without_a_body() -> None:
    assert plain_request(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", LIMITS) == ("GET", b"/", [(b"host", b"a")], b"")


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\r\n{",  # a body on its way
        HEAD + b"\r\n{}x",  # more than was said
        HEAD,  # a head on its way
        HEAD + b"\r\n{}" + HEAD + b"\r\n{}",  # another request behind it
        b"\r\n" + HEAD + b"\r\n{}",
        HEAD.replace(b"host: a\r\n", b"") + b"\r\n{}",
        HEAD.replace(b"host: a", b"host: a/b") + b"\r\n{}",
        HEAD + b"host: b\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\n\r\n{}",
        HEAD + b"transfer-encoding: chunked\r\n\r\n{}",
        HEAD + b"expect: 100-continue\r\n\r\n{}",
        HEAD + b"upgrade: h2c\r\n\r\n{}",
        HEAD + b"connection: close\r\n\r\n{}",
        HEAD + b"proxy-connection: close\r\n\r\n{}",
        HEAD + b"trailer: x\r\n\r\n{}",
        HEAD + b"x-a: 1\r\nX-A: 2\r\n\r\n{}",
        HEAD + b"x-a: 1\r\n folded\r\n\r\n{}",
        HEAD + b"x a: 1\r\n\r\n{}",
        HEAD + b"x-a : 1\r\n\r\n{}",
        HEAD + b"x-a:1\r\n\r\n{}",
        HEAD + b"x-a: 1 \r\n\r\n{}",
        HEAD + b"x-a: \xc3\xa9\r\n\r\n{}",
        HEAD + b"x-a: \x00\r\n\r\n{}",
        HEAD + b"x-a: 1\n\r\n{}",
        HEAD.replace(b"length: 2", b"length: +2") + b"\r\n{}",
        HEAD.replace(b"length: 2", b"length: 2, 2") + b"\r\n{}",
        HEAD.replace(b"POST", b"CONNECT") + b"\r\n{}",
        HEAD.replace(b"POST", b"post") + b"\r\n{}",
        HEAD.replace(b"POST ", b"POST  ") + b"\r\n{}",
        HEAD.replace(b"POST /", b"POST http://a/") + b"\r\n{}",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n{}",
        HEAD.replace(b"/v1", b"/\xff") + b"\r\n{}",
        HEAD + b"x-a: " + b"a" * LIMITS.header_bytes + b"\r\n\r\n{}",
        HEAD + b"".join(b"x-%d: 1\r\n" % number for number in range(LIMITS.header_fields)) + b"\r\n{}",
        b"",
    ],
)
def test_anything_else_is_left_to_httptools(data: bytes) -> None:
    assert plain_request(data, LIMITS) is None


_names = st.sampled_from(
    [b"Host", b"X-A", b"x-a", b"connection", b"transfer-encoding", b"content-length", b"Content-Length", b"upgrade", b"expect", b"te", b"keep-alive"]
) | st.binary(min_size=1, max_size=4)
_values = st.sampled_from([b"2", b"02", b"0", b"keep-alive", b"close", b"chunked", b"a b", b" a", b"a ", b"a\tb", b"", b"h2c"]) | st.binary(
    max_size=6
)


@given(
    method=st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"PRI", b"SOURCE"]),
    target=st.sampled_from([b"/", b"/v1?x#y", b"*", b"http://a/", b"/a%20b", b"/\x7f", b'/"<>', b"//"]) | st.binary(max_size=4),
    fields=st.lists(st.tuples(_names, _values), max_size=4),
    end=st.sampled_from([b"\r\n", b"\n"]),
    body=st.sampled_from([b"{}", b"", b"{", b"{}\r\n"]),
    stated=st.booleans(),
)
def test_what_is_taken_is_what_httptools_takes(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], end: bytes, body: bytes, stated: bool
) -> None:
    fields = [(b"host", b"a"), *fields, *([(b"Content-Length", b"%d" % len(body))] if stated else [])]
    data = method + b" " + target + b" HTTP/1.1" + end + b"".join(name + b": " + value + end for name, value in fields) + end + body
    plain = plain_request(data, LIMITS)
    if plain is None:
        return
    told = Told(data)
    assert (told.ends, told.version, told.stays, told.upgrades) == (1, "1.1", True, False)
    assert plain == (told.method, told.target, told.fields, told.body)
    assert len(dict(told.fields)) == len(told.fields), "each field once"
