"""XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): a 24-byte nonce, by way of a subkey from HChaCha20.

`cryptography` has ChaCha20 and ChaCha20-Poly1305, not HChaCha20. But a ChaCha20 block is the state after 20 rounds plus the
state before, word by word (RFC 8439 §2.3), and HChaCha20 is eight words of the state after the rounds. So it is one block of
the library's keystream less what is known of the state before: constants and nonce. The rounds stay in the library, in
constant time; nothing secret is branched on here.

                    state before                    taken, after the rounds
    constants       words  0..3   "expand 32-byte k"    0..3
    key             words  4..11
    nonce           words 12..15  16 bytes              12..15
"""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from ollm.errors import SealError

NONCE_SIZE = 24
TAG_SIZE = 16

_WORDS = struct.Struct("<16I")
_FOUR = struct.Struct("<4I")
_EIGHT = struct.Struct("<8I")
_CONSTANTS = _FOUR.unpack(b"expand 32-byte k")
_ZEROS = bytes(64)
_MASK = 0xFFFFFFFF


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """The 32-byte subkey for `key` (32 bytes) and the first 16 bytes of a nonce (draft §2.2)."""
    block = _WORDS.unpack(Cipher(ChaCha20(key, nonce), None).encryptor().update(_ZEROS))
    before = _CONSTANTS + _FOUR.unpack(nonce)
    return _EIGHT.pack(*((after - word) & _MASK for after, word in zip(block[:4] + block[12:], before, strict=True)))


def seal(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """Ciphertext and tag; no associated data (draft §2.3)."""
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(b"\0\0\0\0" + nonce[16:], plaintext, None)


def unseal(key: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    """The plaintext. Raises: SealError AEAD_DECRYPT_FAILED."""
    try:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(b"\0\0\0\0" + nonce[16:], ciphertext, None)
    except InvalidTag:
        raise SealError("AEAD_DECRYPT_FAILED") from None
