"""The fake instance of Chutes, and the API before it, refuse as the real ones do; round trips are in tests/seal."""

import pytest

from ollm.seal.chutes import ChutesCipher
from ollm.testing.sealing.cheats import Refused
from ollm.testing.sealing.chutes import ChutesRecipient
from tests.seal.peers import chat, encoded


def sent(instance: ChutesRecipient, *, streamed: bool = False) -> tuple[str, dict[str, str], bytes]:
    cipher = ChutesCipher(instance.public_key, chute_id="chute", instance_id="instance", take_nonce=instance.new_nonce, random=bytes)
    sealed, _ = cipher.seal("/v1/chat/completions", encoded(chat()), streamed=streamed)
    return sealed.path or "", dict(sealed.headers), sealed.body


def test_a_nonce_is_good_once() -> None:
    instance = ChutesRecipient()
    request = sent(instance)
    assert instance.open(*request).path == "/v1/chat/completions"
    with pytest.raises(Refused) as refused:
        instance.open(*request)
    assert refused.value.status == 403


@pytest.mark.parametrize("changed", [{"X-Chute-Id": "other"}, {"X-Instance-Id": "other"}])
def test_another_instance_is_not_found(changed: dict[str, str]) -> None:
    instance = ChutesRecipient()
    path, headers, body = sent(instance)
    with pytest.raises(Refused, match="not_found"):
        instance.open(path, {**headers, **changed}, body)
    with pytest.raises(Refused, match="not_found"):
        instance.open("/v1/chat/completions", headers, body)


def test_a_body_for_another_key_does_not_open() -> None:
    instance = ChutesRecipient()
    path, headers, _ = sent(instance)
    with pytest.raises(Refused, match="E2E decryption failed"):
        instance.open(path, headers, sent(ChutesRecipient())[2])


def test_header_and_body_agree_about_streaming() -> None:
    instance = ChutesRecipient()
    with pytest.raises(Refused, match="disagree"):
        instance.open(*sent(instance, streamed=True))
