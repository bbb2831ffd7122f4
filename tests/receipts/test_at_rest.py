"""Receipts at rest open for their caller and their request only."""

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ollm.errors import SealError
from ollm.receipts.at_rest import open_receipt, seal_receipt

SECRET = bytes([7] * 32)
NONCE = bytes(range(12))
DOCUMENT = b'{"api_version":"aci/1"}'
REQUEST_ID = "0123456789abcdef0123456789abcdef"


def test_what_is_sealed_opens() -> None:
    sealed = seal_receipt(SECRET, REQUEST_ID, DOCUMENT, NONCE)
    assert b"api_version" not in sealed
    assert open_receipt(SECRET, REQUEST_ID, sealed) == DOCUMENT


def test_the_format_is_the_specifications() -> None:
    """Rebuilt with the library's HKDF, from docs/spec/aci-ehbp.md alone."""
    key = HKDF(SHA256(), 32, b"ollm receipt at rest v1", REQUEST_ID.encode()).derive(SECRET)
    blob = b"\x01" + NONCE + AESGCM(key).encrypt(NONCE, DOCUMENT, b"\x01" + REQUEST_ID.encode())
    assert seal_receipt(SECRET, REQUEST_ID, DOCUMENT, NONCE) == blob


def test_nothing_else_opens_it() -> None:
    sealed = seal_receipt(SECRET, REQUEST_ID, DOCUMENT, NONCE)
    attempts = [
        (bytes([8] * 32), REQUEST_ID, sealed),
        (b"", REQUEST_ID, sealed),
        (SECRET, REQUEST_ID[:-1] + "0", sealed),
        (SECRET, "", sealed),
        (SECRET, REQUEST_ID, b""),
        (SECRET, REQUEST_ID, sealed[:28]),
        (SECRET, REQUEST_ID, sealed[:-1]),
        (SECRET, REQUEST_ID, sealed + b"\0"),
        (SECRET, REQUEST_ID, b"\x02" + sealed[1:]),
        *((SECRET, REQUEST_ID, sealed[:at] + bytes([sealed[at] ^ 0x80]) + sealed[at + 1 :]) for at in range(len(sealed))),
    ]
    for secret, request_id, blob in attempts:
        with pytest.raises(SealError) as refusal:
            open_receipt(secret, request_id, blob)
        assert str(refusal.value) == "AEAD_DECRYPT_FAILED"  # one text for every cause


def test_two_requests_of_one_caller_have_different_keys() -> None:
    one, other = (seal_receipt(SECRET, name, DOCUMENT, NONCE) for name in ("a" * 32, "b" * 32))
    assert not hmac.compare_digest(one[13:-16], other[13:-16])


@pytest.mark.parametrize("size", [0, 11, 13])
def test_a_nonce_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(SealError) as refusal:
        seal_receipt(SECRET, REQUEST_ID, DOCUMENT, bytes(size))
    assert refusal.value.code == "INVALID_INPUT"
