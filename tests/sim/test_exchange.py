"""What is judged of a request, and how an answer leaves."""

import json
from typing import Any

import pytest

from ollm.errors import ApiError
from ollm.sim.exchange import Outgoing, answer_id, judged
from ollm.sim.sealing import Body
from ollm.values.hexes import sha256_of


def request(**members: object) -> bytes:
    return json.dumps({"model": "m", "messages": [], **members}).encode()


def test_a_body_without_a_constraint_goes_on_byte_for_byte() -> None:
    odd = b'{ "model":"m", "messages":[ ],"temperature":1.0, "provider":{"data_collection":"deny"} }'
    exchange = judged("/v1/chat/completions", odd, "sk")
    assert (exchange.inner, exchange.model) == (odd, "m")


def test_the_constraint_is_consumed_and_the_rest_kept() -> None:
    assert json.loads(judged("/", request(provider={"aci_verified": True}), None).inner) == {"model": "m", "messages": []}
    kept = json.loads(judged("/", request(provider={"aci_verified": True, "data_collection": "deny"}), None).inner)
    assert kept["provider"] == {"data_collection": "deny"}


@pytest.mark.parametrize(
    ("body", "status", "type"),
    [
        (request(provider={"aci_session_ids": ["ab" * 32]}), 412, "session_not_accepted"),
        (request(provider={"aci_unknown": 1}), 400, "invalid_request_error"),
        (b'{"messages":[]}', 400, "invalid_request_error"),
        (b"secret words", 400, "invalid_request_error"),
    ],
)
def test_what_can_not_be_served_is_refused(body: bytes, status: int, type: str) -> None:
    with pytest.raises(ApiError) as caught:
        judged("/", body, None)
    assert (caught.value.status, caught.value.type) == (status, type)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("chunk", "streamed", "found"),
    [
        (b'{"id":"chatcmpl-1","choices":[]}', False, "chatcmpl-1"),
        (b'data: {"id":"chatcmpl-1"}\n\n', True, "chatcmpl-1"),
        (b": comment\n\ndata:{}\n\n", True, None),
        (b"data: [DONE]\n\n", True, None),
        (b'{"id":7}', False, None),
        (b"\xff", False, None),
    ],
)
def test_the_answers_own_id_is_found_where_it_shows(chunk: bytes, streamed: bool, found: str | None) -> None:
    assert answer_id(chunk, streamed=streamed) == found


async def test_the_digest_is_over_what_is_sent() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    outgoing = Outgoing(send, Body(b"", None))
    await outgoing.start(200, b"application/json", 4, [])
    await outgoing.send(outgoing.wire(b"ab"))
    await outgoing.end(outgoing.wire(b"cd"))
    assert b"".join(message["body"] for message in sent[1:]) == b"abcd"
    assert outgoing.digest() == sha256_of(b"abcd")


def test_an_exchange_does_not_print_itself() -> None:
    assert "words" not in repr(judged("/", request(user="words"), "secret"))
