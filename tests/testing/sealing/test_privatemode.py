"""The fake proxy of Privatemode refuses as the real one does; round trips are in tests/seal."""

import json

import pytest

from ollm.seal.privatemode import PrivatemodeCipher
from ollm.testing.sealing.cheats import Refused
from ollm.testing.sealing.privatemode import PrivatemodeRecipient
from tests.seal.peers import chat, encoded

CHAT = "/v1/chat/completions"
SECRET = bytes(32)


def sealed() -> dict[str, str]:
    body = PrivatemodeCipher(SECRET, "id", random=bytes).seal(CHAT, encoded(chat()), streamed=False)[0].body
    members: dict[str, str] = json.loads(body)
    return members


def refusal(members: dict[str, str], id: str = "id") -> str:
    with pytest.raises(Refused) as refused:
        PrivatemodeRecipient({"id": SECRET}).open(CHAT, {"Privatemode-Secret-ID": id}, encoded(members))
    return refused.value.type


def test_refusals() -> None:
    body = sealed()
    assert refusal(body, "other") == "no secret for ID"
    assert refusal({**body, "temperature": "0.7"}) == "deciphering input"
    assert refusal({**body, "temperature": body["messages"]}) == "deciphering input"
    assert refusal({**body, "messages": body["messages"].replace("id:", "other:")}).startswith("multiple different IDs")


def test_what_was_sealed_opens() -> None:
    assert PrivatemodeRecipient({"id": SECRET}).open(CHAT, {"Privatemode-Secret-ID": "id"}, encoded(sealed())).request == chat()
