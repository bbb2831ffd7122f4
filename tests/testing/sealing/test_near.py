"""The fake machine of NEAR refuses as the real one does; round trips with our cipher are in tests/seal."""

import json

import pytest

from ollm.testing.sealing.cheats import Refused
from ollm.testing.sealing.near import NearRecipient, seal

CHAT = "/v1/chat/completions"
HEADERS = {"X-Signing-Algo": "ed25519", "X-Client-Pub-Key": "ab" * 32, "X-Encryption-Version": "2", "X-Encrypt-All-Fields": "true"}


@pytest.mark.parametrize(
    "changed", [{"X-Signing-Algo": "ecdsa"}, {"X-Encryption-Version": "1"}, {"X-Client-Pub-Key": "ab"}, {"X-Encrypt-All-Fields": "no"}]
)
def test_headers_that_are_not_those_of_version_2(changed: dict[str, str]) -> None:
    with pytest.raises(Refused, match="bad_request"):
        NearRecipient().open(CHAT, {**HEADERS, **changed}, b"{}")


def test_a_stale_key_is_421() -> None:
    with pytest.raises(Refused) as refusal:
        NearRecipient().open(CHAT, {**HEADERS, "X-Model-Pub-Key": "00" * 32}, b"{}")
    assert refusal.value.status == 421


@pytest.mark.parametrize("content", ["plain", "abcd", "ab" * 80])
def test_content_in_the_clear_is_refused(content: str) -> None:
    body = json.dumps({"messages": [{"content": content}]}).encode()
    with pytest.raises(Refused, match="bad_request"):
        NearRecipient().open(CHAT, HEADERS, body)


def test_names_in_the_clear_are_left() -> None:
    machine = NearRecipient()
    body = {"messages": [{"content": seal(machine.public_key, "x"), "name": "plain"}], "tool_choice": "auto", "function_call": {"name": "plain"}}
    opened = machine.open(CHAT, HEADERS, json.dumps(body).encode()).request
    assert opened == {"messages": [{"content": "x", "name": "plain"}], "tool_choice": "auto", "function_call": {"name": "plain"}}


def test_a_seed_gives_the_same_key() -> None:
    assert NearRecipient(bytes(32)).public_key == NearRecipient(bytes(32)).public_key
