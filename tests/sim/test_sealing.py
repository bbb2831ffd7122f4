"""Bodies are opened whole, or refused with the reason."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.errors import ApiError, SealError
from ollm.seal.ehbp import RequestSealer
from ollm.sim.sealing import Body, open_body

KEY = X25519PrivateKey.generate()
PUBLIC_KEY = KEY.public_key().public_bytes_raw()


def sealed(body: bytes) -> tuple[list[tuple[bytes, bytes]], bytes, RequestSealer]:
    sealer = RequestSealer(PUBLIC_KEY)
    return [(b"ehbp-encapsulated-key", sealer.encapsulated_key.encode())], sealer.seal(body), sealer


def opened(headers: list[tuple[bytes, bytes]], received: bytes, key: X25519PrivateKey | None = KEY, *, allow_plaintext: bool = False) -> Body:
    return open_body(headers, received, key, allow_plaintext=allow_plaintext)


def test_a_sealed_body_is_opened_and_its_answer_sealed() -> None:
    headers, received, sealer = sealed(b"words")
    body = opened(headers, received)
    assert body.plaintext == b"words"
    assert body.sealer is not None
    opener = sealer.response_opener(body.sealer.nonce_hex)
    assert opener.feed(body.sealer.seal(b"answer")) == b"answer"


def test_a_plain_body_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(ApiError) as caught:
        opened([], b"words")
    assert (caught.value.status, caught.value.code) == (400, "plaintext_refused")
    assert opened([], b"words", allow_plaintext=True).plaintext == b"words"


def test_a_body_for_another_key_is_told_apart_from_a_broken_one() -> None:
    headers, received, _ = sealed(b"words")
    with pytest.raises(SealError, match="AEAD_DECRYPT_FAILED"):
        opened(headers, received, X25519PrivateKey.generate())


def test_broken_sealing_is_refused_with_its_reason() -> None:
    headers, received, _ = sealed(b"words")
    for bad_headers, bad_body in [(headers, received[:-1]), (headers, b""), (headers * 2, received), ([(headers[0][0], b"zz")], received)]:
        with pytest.raises(ApiError) as caught:
            opened(bad_headers, bad_body)
        assert (caught.value.status, caught.value.code) == (400, "sealed_body_unusable")


def test_a_service_without_a_sealing_key_says_so() -> None:
    headers, received, _ = sealed(b"words")
    with pytest.raises(ApiError) as caught:
        opened(headers, received, None)
    assert caught.value.code == "sealing_unsupported"


def test_a_body_does_not_print_itself() -> None:
    assert "words" not in repr(Body(b"words", None))
