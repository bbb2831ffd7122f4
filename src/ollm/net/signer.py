"""The receipt-signing key: Ed25519 (RFC 8032) from a 32-byte seed.

libsodium signs: every request pays for a signature, and OpenSSL's takes nearly twice as long. The scheme is deterministic, so both give the same
bytes; a test holds them together.
"""

import hashlib

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from ollm.values.secret import Sealed


class Ed25519Signer:
    """`ports.Signer`. The key id is derived from the public key, so that it changes exactly when the key does."""

    def __init__(self, seed: bytes) -> None:
        public, secret = crypto_sign_seed_keypair(seed)
        self.public_key = public
        self.key_id = "receipt-" + hashlib.sha256(public).hexdigest()[:16]
        self._secret = Sealed(secret)

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, 64 bytes."""
        return crypto_sign(message, self._secret.expose())[:crypto_sign_BYTES]
