import json
from typing import Any

import pytest

from ollm.errors import ApiError
from ollm.serving.http import bearer, error_response, header, query, read_body, respond


def scope(*headers: tuple[bytes, bytes], query_string: bytes = b"") -> dict[str, Any]:
    return {"type": "http", "headers": list(headers), "query_string": query_string}


class Messages:
    """A scripted `receive`."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self._messages.pop(0)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_header_that_stands_twice_is_none() -> None:
    assert header(scope((b"a", b"1")), b"a") == b"1"
    assert header(scope((b"a", b"1"), (b"a", b"1")), b"a") is None
    assert header(scope(), b"a") is None


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer abc", "abc"),
        (b"Bearer  abc ", "abc"),
        (b"Bearer ", None),
        (b"Bearer", None),
        (b"Basic abc", None),
        (b"Bearer caf\xe9", None),
        (b"", None),
    ],
)
def test_bearer(value: bytes, token: str | None) -> None:
    assert bearer(scope((b"authorization", value))) == token


def test_two_credentials_are_none() -> None:
    assert bearer(scope((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b"))) is None


def test_query() -> None:
    assert query(scope()) == {}
    assert query(scope(query_string=b"nonce=ab&model=a%2Fb&empty=")) == {"nonce": "ab", "model": "a/b", "empty": ""}


@pytest.mark.parametrize("raw", [b"a=1&a=2", b"a=%ff", b"&".join(b"f%d=1" % i for i in range(40))])
def test_a_query_with_two_readings_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        query(scope(query_string=raw))
    assert (caught.value.status, caught.value.code) == (400, "invalid_query")


async def test_a_body_in_one_piece_or_many() -> None:
    assert await read_body(scope(), Messages(part(b"abc")), 3) == b"abc"
    assert await read_body(scope(), Messages(part(b"ab", more=True), part(b"", more=True), part(b"c")), 3) == b"abc"


async def test_the_parts_of_a_body_are_counted_as_they_come() -> None:
    sizes: list[int] = []
    await read_body(scope(), Messages(part(b"ab", more=True), part(b"", more=True), part(b"c")), 3, sizes.append)
    assert sizes == [2, 0, 1]

    def enough(size: int) -> None:
        raise ApiError(503, "api_error", "overloaded", "enough")

    receive = Messages(part(b"ab", more=True), part(b"c"))
    with pytest.raises(ApiError, match="enough"):
        await read_body(scope(), receive, 3, enough)
    assert receive.taken == 1


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    receive = Messages()
    with pytest.raises(ApiError) as caught:
        await read_body(scope((b"content-length", b"4")), receive, 3)
    assert caught.value.status == 413 and receive.taken == 0


@pytest.mark.parametrize("messages", [[part(b"abcd")], [part(b"ab", more=True), part(b"cd", more=True), part(b"never read")]])
async def test_a_body_that_turns_out_too_large_is_refused_at_once(messages: list[dict[str, Any]]) -> None:
    receive = Messages(*messages)
    with pytest.raises(ApiError) as caught:
        await read_body(scope(), receive, 3)
    assert caught.value.status == 413 and receive.taken <= 2


async def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        await read_body(scope((b"content-encoding", b"gzip")), Messages(part(b"")), 3)
    assert caught.value.status == 415
    assert await read_body(scope((b"content-encoding", b"identity")), Messages(part(b"abc")), 3) == b"abc"


@pytest.mark.parametrize("messages", [[{"type": "http.disconnect"}], [part(b"a", more=True), {"type": "http.disconnect"}]])
async def test_a_body_that_breaks_off_is_no_body(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(ApiError) as caught:
        await read_body(scope(), Messages(*messages), 3)
    assert (caught.value.status, caught.value.code) == (400, "incomplete_body")


async def test_respond() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await respond(send, 200, b"{}", [(b"x-a", b"b")])
    assert sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"x-a", b"b")],
        },
        {"type": "http.response.body", "body": b"{}"},
    ]


@pytest.mark.parametrize(
    ("status", "told"), [(400, True), (401, True), (412, True), (408, False), (409, False), (429, False), (500, False), (503, False)]
)
def test_clients_are_told_not_to_repeat_what_would_be_refused_again(status: int, told: bool) -> None:
    _, headers, _ = error_response(ApiError(status, "t", "c", "m"))
    assert ((b"x-should-retry", b"false") in headers) is told


def test_an_error_as_an_answer() -> None:
    status, headers, body = error_response(ApiError(429, "rate_limit_error", "limit", "Slow down.", param="p", headers={"Retry-After": "1"}))
    assert (status, headers) == (429, [(b"retry-after", b"1")])
    assert json.loads(body) == {"error": {"message": "Slow down.", "type": "rate_limit_error", "param": "p", "code": "limit"}}


def test_an_error_that_decides_itself_about_retries_is_left_alone() -> None:
    _, headers, _ = error_response(ApiError(400, "t", "c", "m", headers={"x-should-retry": "true"}))
    assert headers == [(b"x-should-retry", b"true")]
