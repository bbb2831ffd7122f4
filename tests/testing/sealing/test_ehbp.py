"""The fake enclave refuses what does not open with one answer; round trips are in tests/seal."""

import pytest

from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.testing.sealing.cheats import Cheat, Refused
from ollm.testing.sealing.ehbp import EhbpRecipient

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("headers", [{}, {"Ehbp-Encapsulated-Key": "ab" * 32}, {"Ehbp-Encapsulated-Key": "no hex"}])
def test_what_does_not_open_is_422(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        EhbpRecipient().open(CHAT, headers, b"\0\0\0\x20" + bytes(32))
    assert refused.value.status == 422


def test_an_answer_in_the_clear_has_no_nonce() -> None:
    enclave = EhbpRecipient()
    sealed, _ = EhbpCipher(enclave.public_key).seal(CHAT, b'{"a":1}', streamed=False)
    exchange = enclave.open(CHAT, dict(sealed.headers), sealed.body)
    assert exchange.headers(Cheat.PLAINTEXT) == {}
    assert exchange.whole({"b": 2}, Cheat.PLAINTEXT) == b'{"b": 2}'
