"""How answers go out: whole, or in pieces that wait for the client and end the connection where they fail."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ollm.admin.call import Stream, admitted, send_answer
from ollm.app.admin import administered
from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.errors import ApiError, StoreError
from ollm.values.identity import Role
from tests.admin.conftest import CONFIG, issue


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


async def test_while_no_key_can_be_looked_up_nobody_is_told_that_theirs_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(initialise(tmp_path, CONFIG))
    text = await issue(loaded, "owner", role=Role.OWNER)
    async with administered(loaded) as admin:
        keys = admin.store.keys
        for shown in (text, "sk-ollm-nonsense"):
            scope = {"headers": [(b"authorization", f"Bearer {shown}".encode())], "client": ("127.0.0.1", 1)}
            with monkeypatch.context() as away:
                away.setattr(type(keys), "blind", True)
                away.setattr(keys, "lookup", lambda key_id: None)
                with pytest.raises(StoreError):
                    admitted(admin, scope, frozenset({Role.OWNER}))
                with pytest.raises(ApiError) as missing:
                    admitted(admin, {"headers": []}, frozenset({Role.OWNER}))
                assert missing.value.status == 401
        assert admitted(admin, {**scope, "headers": [(b"authorization", f"Bearer {text}".encode())]}, frozenset({Role.OWNER})).role is Role.OWNER
