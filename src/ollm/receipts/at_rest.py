"""Receipts at rest: sealed so that only the caller's API key opens them (docs/spec/aci-ehbp.md, "Receipts at rest").

A receipt holds hashes of bodies, and a short prompt can be guessed from its hash. So whoever copies the store must not be able
to read receipts: each rests under a key that is derived from its caller's secret, which the store does not hold.

    key   = HKDF-SHA-256(salt = "ollm receipt at rest v1", secret, info = request id)         32 bytes
    blob  = 0x01 || nonce[12] || AES-256-GCM(key, nonce, receipt, aad = 0x01 || request id)
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ollm.errors import SealError
from ollm.values.mac import MacKey, hmac_sha256

NONCE_SIZE = 12

_VERSION = b"\x01"
_SALT = MacKey(b"ollm receipt at rest v1")
_MINIMUM = 1 + NONCE_SIZE + 16


def _cipher(secret: bytes, request_id: bytes) -> AESGCM:
    """HKDF (RFC 5869) of one block: extract, then expand with counter 1."""
    return AESGCM(hmac_sha256(_SALT.digest(secret), request_id + b"\x01"))


def seal_receipt(secret: bytes, request_id: str, document: bytes, nonce: bytes) -> bytes:
    """`document` for the store. `secret` is that of the caller's API key (256 bits), `nonce` 12 fresh random bytes. Raises: SealError."""
    if len(nonce) != NONCE_SIZE:
        raise SealError("INVALID_INPUT", "a nonce has 12 bytes")
    name = request_id.encode()
    return _VERSION + nonce + _cipher(secret, name).encrypt(nonce, document, _VERSION + name)


def open_receipt(secret: bytes, request_id: str, sealed: bytes) -> bytes:
    """The document. Raises: SealError AEAD_DECRYPT_FAILED, whether the secret, the id, the version or the bytes are wrong."""
    if len(sealed) < _MINIMUM or sealed[:1] != _VERSION:
        raise SealError("AEAD_DECRYPT_FAILED")
    name = request_id.encode()
    try:
        return _cipher(secret, name).decrypt(sealed[1 : 1 + NONCE_SIZE], sealed[1 + NONCE_SIZE :], _VERSION + name)
    except InvalidTag:
        raise SealError("AEAD_DECRYPT_FAILED") from None
