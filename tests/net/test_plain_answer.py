"""Small whole answers, taken apart without a parser: the same as httptools makes of them, or left to it."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.net.plain_answer import plain_answer

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"


class Told:
    """What httptools says of an answer."""

    def __init__(self, data: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ends = 0
        self.status = 0
        self.stays = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.stays = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ends += 1


def test_a_small_answer_in_one_read() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Note: a b\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n{}"
    headers = {b"content-type": b"application/json", b"x-note": b"a b", b"content-length": b"2", b"connection": b"Keep-Alive"}
    assert plain_answer(data) == (200, headers, b"{}")


def test_an_error_with_an_empty_body() -> None:
    assert plain_answer(b"HTTP/1.1 503 \r\ncontent-length: 0\r\n\r\n") == (503, {b"content-length": b"0"}, b"")


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\r\n{",  # a body on its way
        HEAD + b"\r\n{}x",  # more than was said
        HEAD,  # a head on its way
        HEAD + b"\r\n{}HTTP/1.1 200 OK\r\n",  # another answer behind it
        b"HTTP/1.1 200 OK\r\n\r\n",  # ends with the connection
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}",
        HEAD + b"connection: close\r\n\r\n{}",
        HEAD + b"connection: upgrade\r\n\r\n{}",
        HEAD + b"upgrade: h2c\r\n\r\n{}",
        HEAD + b"trailer: x\r\n\r\n{}",
        HEAD + b"x-a: 1\r\nx-A: 2\r\n\r\n{}",  # repeated
        HEAD + b"x-a: 1\r\n folded\r\n\r\n{}",
        HEAD + b"x a: 1\r\n\r\n{}",
        HEAD + b"x-a : 1\r\n\r\n{}",
        HEAD + b"x-a:  1\r\n\r\n{}",
        HEAD + b"x-a: 1 \r\n\r\n{}",
        HEAD + b"x-a:\r\n\r\n{}",
        HEAD + b"x-a: \xc3\xa9\r\n\r\n{}",
        HEAD + b"x-a: \x00\r\n\r\n{}",
        HEAD + b"x-a: 1\n\r\n{}",
        HEAD + b"x-a: 1\r\n\n{}",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n{}",
        HEAD.replace(b"200", b"100") + b"\r\n{}",
        HEAD.replace(b"200", b"204") + b"\r\n{}",
        HEAD.replace(b"200", b"304") + b"\r\n{}",
        HEAD.replace(b"200", b"2000") + b"\r\n{}",
        b"\r\n" + HEAD + b"\r\n{}",
        HEAD + b"x-a: " + b"a" * 20_000 + b"\r\n\r\n{}",
        HEAD + b"".join(b"x-%d: 1\r\n" % number for number in range(101)) + b"\r\n{}",
        b"",
    ],
)
def test_anything_else_is_left_to_httptools(data: bytes) -> None:
    assert plain_answer(data) is None


_names = st.sampled_from(
    [b"content-type", b"Server", b"x-a", b"X-A", b"connection", b"transfer-encoding", b"content-length", b"upgrade"]
) | st.binary(min_size=1, max_size=4)
_values = st.sampled_from([b"2", b"02", b"keep-alive", b"close", b"chunked", b"a b", b" a", b"a ", b"a\tb", b""]) | st.binary(max_size=6)


@given(
    status=st.sampled_from([b"200", b"201", b"204", b"205", b"304", b"404", b"503", b"101", b"20", b"999"]),
    reason=st.sampled_from([b"OK", b"", b"Not Found", b"\xff", b"a\rb"]),
    fields=st.lists(st.tuples(_names, _values), max_size=4),
    end=st.sampled_from([b"\r\n", b"\n"]),
    body=st.sampled_from([b"{}", b"", b"{", b"{}\r\n"]),
    stated=st.booleans(),
)
def test_what_is_taken_is_what_httptools_takes(
    status: bytes, reason: bytes, fields: list[tuple[bytes, bytes]], end: bytes, body: bytes, stated: bool
) -> None:
    fields = [*fields, (b"Content-Length", b"%d" % len(body))] if stated else fields
    data = b"HTTP/1.1 " + status + b" " + reason + end + b"".join(name + b": " + value + end for name, value in fields) + end + body
    plain = plain_answer(data)
    if plain is None:
        return
    told = Told(data)
    assert told.ends == 1
    assert told.stays
    assert plain == (told.status, dict(told.fields), told.body)
    assert len(told.fields) == len(plain.headers)
