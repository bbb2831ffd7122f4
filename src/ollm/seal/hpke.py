"""HPKE contexts with export: RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256.

`cryptography` has one-shot HPKE only; EHBP and OHTTP need a context that seals many messages and exports a secret for the
answer. So this module is RFC 9180's key schedule over its X25519, its AEADs and HMAC, and nothing else.

    setup_sender(pk, info)            → SenderContext     .enc .seal() .export()
    setup_recipient(sk, enc, info)    → RecipientContext       .open() .export()

Every failure is a `SealError` with an EHBP code: INVALID_ENCAPSULATED_KEY, HPKE_SETUP_FAILED, AEAD_DECRYPT_FAILED,
SEQUENCE_OVERFLOW, INVALID_INPUT. A context belongs to one message and one thread.
"""

import functools
import hmac
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from ollm.errors import SealError

ENC_SIZE = 32  # RFC 9180 §7.1: Nenc and Npk of DHKEM(X25519, HKDF-SHA256)
TAG_SIZE = 16  # RFC 9180 §7.3: Nt of every AEAD here
KEM_ID = 0x0020
KDF_ID = 0x0001

_NONCE_SIZE = 12  # RFC 9180 §7.3: Nn of every AEAD here
_HASH_SIZE = 32  # Nh of HKDF-SHA256
_MAX_EXPORT = 255 * _HASH_SIZE  # RFC 9180 §5.3
_VERSION = b"HPKE-v1"  # RFC 9180 §4
_KEM_SUITE = b"KEM" + KEM_ID.to_bytes(2, "big")
_MODE_BASE = b"\x00"


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes | memoryview, associated_data: bytes | None) -> bytes: ...


class Suite(NamedTuple):
    """An AEAD of RFC 9180 §7.3; KEM and KDF are fixed."""

    aead_id: int
    key_size: int
    cipher: Callable[[bytes], _Cipher]

    @property
    def suite_id(self) -> bytes:
        return b"HPKE" + KEM_ID.to_bytes(2, "big") + KDF_ID.to_bytes(2, "big") + self.aead_id.to_bytes(2, "big")


AES_128_GCM = Suite(0x0001, 16, AESGCM)
AES_256_GCM = Suite(0x0002, 32, AESGCM)
CHACHA20_POLY1305 = Suite(0x0003, 32, ChaCha20Poly1305)


# --- HKDF (RFC 5869) and its labelled forms (RFC 9180 §4) ---------------------------------------------------------------


def hkdf_extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract with SHA-256. An empty `salt` means a string of zeros, which HMAC's padding already makes of it."""
    return hmac.digest(salt, secret, "sha256")


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256, `length` ≤ 8160 bytes."""
    block = hmac.digest(key, info + b"\x01", "sha256")
    if length <= _HASH_SIZE:  # every key and nonce: one block
        return block[:length]
    blocks = [block]
    for counter in range(2, -(-length // _HASH_SIZE) + 1):
        block = hmac.digest(key, block + info + counter.to_bytes(1, "big"), "sha256")
        blocks.append(block)
    return b"".join(blocks)[:length]


def _labeled_extract(suite_id: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hkdf_extract(salt, _VERSION + suite_id + label + secret)


def _labeled_expand(suite_id: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return hkdf_expand(key, length.to_bytes(2, "big") + _VERSION + suite_id + label + info, length)


# --- contexts (RFC 9180 §5) ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=32)  # `info` is a protocol's constant, the same for every message
def _schedule_context(suite: Suite, info: bytes) -> bytes:
    """`key_schedule_context` of RFC 9180 §5.1 in base mode, where the PSK id is empty."""
    psk_id_hash = _labeled_extract(suite.suite_id, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(suite.suite_id, b"", b"info_hash", info)
    return _MODE_BASE + psk_id_hash + info_hash


class _Context:
    """RFC 9180 §5.2 and §5.3: one AEAD key, a counter, an exporter."""

    __slots__ = ("_base", "_cipher", "_exporter_secret", "_sequence", "_suite_id")

    _LIMIT = (1 << (8 * _NONCE_SIZE)) - 1  # RFC 9180 §5.2: the last sequence number is never used

    def __init__(self, suite: Suite, shared_secret: bytes, info: bytes) -> None:
        suite_id, context = suite.suite_id, _schedule_context(suite, info)
        secret = _labeled_extract(suite_id, shared_secret, b"secret", b"")
        self._cipher = suite.cipher(_labeled_expand(suite_id, secret, b"key", context, suite.key_size))
        self._base = int.from_bytes(_labeled_expand(suite_id, secret, b"base_nonce", context, _NONCE_SIZE), "big")
        self._exporter_secret = _labeled_expand(suite_id, secret, b"exp", context, _HASH_SIZE)
        self._sequence = 0
        self._suite_id = suite_id

    def export(self, context: bytes, length: int) -> bytes:
        """`length` bytes (1 to 8160) that both sides derive for `context`. Raises: SealError INVALID_INPUT."""
        if not 0 < length <= _MAX_EXPORT:
            raise SealError("INVALID_INPUT", "export length out of range")
        return _labeled_expand(self._suite_id, self._exporter_secret, b"sec", context, length)

    def _nonce(self) -> bytes:
        if self._sequence >= self._LIMIT:
            raise SealError("SEQUENCE_OVERFLOW", "no nonce is left in this context")
        return (self._base ^ self._sequence).to_bytes(_NONCE_SIZE, "big")


class SenderContext(_Context):
    """Seals messages in order. `enc` is the encapsulated key for the recipient."""

    __slots__ = ("enc",)

    def __init__(self, suite: Suite, shared_secret: bytes, info: bytes, enc: bytes) -> None:
        super().__init__(suite, shared_secret, info)
        self.enc = enc

    def seal(self, plaintext: bytes | memoryview, aad: bytes = b"") -> bytes:
        """The next ciphertext, with its tag. Raises: SealError SEQUENCE_OVERFLOW."""
        sealed = self._cipher.encrypt(self._nonce(), plaintext, aad)
        self._sequence += 1
        return sealed


class RecipientContext(_Context):
    """Opens messages in the order in which they were sealed."""

    __slots__ = ()

    def open(self, ciphertext: bytes | memoryview, aad: bytes = b"") -> bytes:
        """The next plaintext; a failure leaves the counter where it was. Raises: SealError AEAD_DECRYPT_FAILED, SEQUENCE_OVERFLOW."""
        nonce = self._nonce()
        if len(ciphertext) < TAG_SIZE:
            raise SealError("AEAD_DECRYPT_FAILED")
        try:
            plaintext = self._cipher.decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise SealError("AEAD_DECRYPT_FAILED") from None
        self._sequence += 1
        return plaintext


# --- setup (RFC 9180 §4.1, §5.1.1) --------------------------------------------------------------------------------------


def _shared_secret(private_key: X25519PrivateKey, peer: bytes, kem_context: bytes) -> bytes:
    """ExtractAndExpand of the DH value. An all-zero one (a point of low order) is refused, as RFC 9180 §7.1.4 demands."""
    try:
        dh = private_key.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise SealError("HPKE_SETUP_FAILED") from None
    key = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    return _labeled_expand(_KEM_SUITE, key, b"shared_secret", kem_context, _HASH_SIZE)


def setup_sender(public_key: bytes, info: bytes, *, ephemeral: X25519PrivateKey | None = None, suite: Suite = AES_256_GCM) -> SenderContext:
    """SetupBaseS: a context that only the holder of `public_key`'s private half can follow.

    `ephemeral` is for test vectors; reusing one breaks confidentiality. Raises: SealError INVALID_KEY_CONFIG, HPKE_SETUP_FAILED.
    """
    if len(public_key) != ENC_SIZE:
        raise SealError("INVALID_KEY_CONFIG", "an X25519 public key has 32 bytes")
    if ephemeral is None:
        ephemeral = X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    return SenderContext(suite, _shared_secret(ephemeral, public_key, enc + public_key), info, enc)


def setup_recipient(private_key: X25519PrivateKey, enc: bytes, info: bytes, *, suite: Suite = AES_256_GCM) -> RecipientContext:
    """SetupBaseR. Base mode authenticates nobody: only a message that opens shows that `enc` was made for this key.

    Raises: SealError INVALID_ENCAPSULATED_KEY, HPKE_SETUP_FAILED.
    """
    if len(enc) != ENC_SIZE:
        raise SealError("INVALID_ENCAPSULATED_KEY", "an X25519 encapsulated key has 32 bytes")
    public_key = private_key.public_key().public_bytes_raw()
    return RecipientContext(suite, _shared_secret(private_key, enc, enc + public_key), info)


def export_only(kem_id: int, shared_secret: bytes, info: bytes, context: bytes, length: int) -> bytes:
    """What a context without an AEAD exports (RFC 9180 §5.3, AEAD id 0xFFFF), in base mode with HKDF-SHA256, for any KEM."""
    suite_id = b"HPKE" + kem_id.to_bytes(2, "big") + KDF_ID.to_bytes(2, "big") + b"\xff\xff"
    psk_id_hash = _labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    schedule = _MODE_BASE + psk_id_hash + _labeled_extract(suite_id, b"", b"info_hash", info)
    secret = _labeled_extract(suite_id, shared_secret, b"secret", b"")
    exporter_secret = _labeled_expand(suite_id, secret, b"exp", schedule, _HASH_SIZE)
    return _labeled_expand(suite_id, exporter_secret, b"sec", context, length)
