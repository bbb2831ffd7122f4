"""How answers go out: whole, or in pieces that wait for the client and end the connection where they fail."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ollm.admin.call import Stream, send_answer
from ollm.errors import StoreError


async def sent(answer: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(dict(message))

    await send_answer(send, answer, [(b"x-request-id", b"req_1")])
    return messages


async def pieces(*parts: bytes, fails: bool = False) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if fails:
        raise StoreError("disk")


async def test_a_whole_answer() -> None:
    head, body = await sent({"a": 1})
    assert dict(head["headers"])[b"content-length"] == b"7"
    assert (b"x-request-id", b"req_1") in head["headers"]
    assert body["body"] == b'{"a":1}'


async def test_an_answer_in_pieces() -> None:
    head, *bodies = await sent(Stream("text/csv", "a.csv", pieces(b"1", b"2")))
    assert b"content-length" not in dict(head["headers"])
    assert [(body["body"], body.get("more_body", False)) for body in bodies] == [(b"1", True), (b"2", True), (b"", False)]


async def test_an_answer_of_no_pieces() -> None:
    head, body = await sent(Stream("text/csv", "a.csv", pieces()))
    assert (head["status"], body["body"]) == (200, b"")


async def test_what_fails_at_first_is_an_error_and_later_a_cut() -> None:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    with pytest.raises(StoreError):
        await send_answer(send, Stream("text/csv", "a.csv", pieces(fails=True)), [])
    assert messages == []  # so the caller can still answer 503
    with pytest.raises(StoreError):
        await send_answer(send, Stream("text/csv", "a.csv", pieces(b"1", fails=True)), [])
    assert messages[-1]["more_body"] is True
