"""EHBP, the Encrypted HTTP Body Protocol: sealed request and answer bodies, sans-IO (tinfoilsh SPEC.md; docs/spec/aci-ehbp.md).

    request body    enc, context = SetupBaseS(pk, "ehbp request"); each frame = context.Seal(plaintext), header ehbp-encapsulated-key
    answer body     key, base = from context.Export("ehbp response", 32), enc and a 32-byte nonce in header ehbp-response-nonce

    struct {
        uint32 length;               /* big-endian, of the ciphertext only */
        opaque ciphertext[length];   /* AES-256-GCM with its tag; empty AAD; a length of 0 is skipped */
    } Frame;

What EHBP does not give, and who must:
- **No authenticated end.** A body that is cut between two frames opens cleanly here. The layer above must know when a body is
  whole: a JSON document that parses, an SSE stream with its [DONE], a chunked HTTP body with its last chunk.
- **Method, path, status and headers are not bound.** They are the attested TLS channel's business.
- **No replay defence.** The same sealed request opens twice; whoever charges for it must count.
- **Lengths are visible**, frame by frame.

Every AEAD failure is the one error AEAD_DECRYPT_FAILED; after any failure an opener gives out nothing more.
"""

import re
import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ollm.errors import SealError
from ollm.seal.hpke import ENC_SIZE, TAG_SIZE, RecipientContext, hkdf_expand, hkdf_extract, setup_recipient, setup_sender

KEYS_PATH = "/.well-known/hpke-keys"
MEDIA_TYPE = "application/ohttp-keys"  # of the key configuration; clients require exactly this
ENCAPSULATED_KEY = "ehbp-encapsulated-key"  # request header: present exactly when the body is sealed
RESPONSE_NONCE = "ehbp-response-nonce"  # answer header: present exactly when the body is sealed
PROBLEM_MEDIA_TYPE = "application/problem+json"
KEY_PROBLEM = b'{"type":"urn:ietf:params:ehbp:error:key-config","title":"the body does not open with this key"}'  # SPEC §5.4.2

MAX_FRAME = 64 << 20  # ciphertext bytes; the cap of every deployed receiver
FRAME_PLAINTEXT = 1 << 20  # we cut larger bodies: a receiver holds a whole frame before it can open it

_INFO = b"ehbp request"
_EXPORT_LABEL = b"ehbp response"
_NONCE_SIZE = 32
_SEQUENCE_LIMIT = (1 << 64) - 1
_LENGTH = struct.Struct(">I")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_KEY_CONFIG_HEAD = bytes.fromhex("000020")  # key id 0, DHKEM(X25519, HKDF-SHA256)
_KEY_CONFIG_TAIL = bytes.fromhex("000400010002")  # one suite: HKDF-SHA256, AES-256-GCM


# --- key configuration (SPEC §3, RFC 9458 §3.1) -------------------------------------------------------------------------


def key_config(public_key: bytes) -> bytes:
    """The 41-byte body of GET /.well-known/hpke-keys. Raises: SealError INVALID_INPUT."""
    if len(public_key) != ENC_SIZE:
        raise SealError("INVALID_INPUT", "an X25519 public key has 32 bytes")
    return _KEY_CONFIG_HEAD + public_key + _KEY_CONFIG_TAIL


def parse_key_config(data: bytes) -> bytes:
    """The public key of the first configuration in `data`; more that follow are ignored (SPEC §3.2).

    Nothing authenticates this document: seal only to a key that evidence binds. Raises: SealError INVALID_KEY_CONFIG, UNSUPPORTED_SUITE.
    """
    if len(data) < 3:
        raise SealError("INVALID_KEY_CONFIG", "too short")
    if data[1:3] != _KEY_CONFIG_HEAD[1:]:
        raise SealError("UNSUPPORTED_SUITE", "the KEM is not DHKEM(X25519, HKDF-SHA256)")
    if len(data) < 37:
        raise SealError("INVALID_KEY_CONFIG", "too short")
    suites = int.from_bytes(data[35:37], "big")
    if suites == 0 or suites % 4 or len(data) < 37 + suites:
        raise SealError("INVALID_KEY_CONFIG", "bad length of the suites")
    if data[35 : 37 + suites] != _KEY_CONFIG_TAIL:
        raise SealError("UNSUPPORTED_SUITE", "not exactly one suite of HKDF-SHA256 with AES-256-GCM")
    return data[3:35]


# --- frames (SPEC §4.3) -------------------------------------------------------------------------------------------------


def _frames(seal: Callable[[bytes | memoryview], bytes], data: bytes) -> bytes:
    """`data` as frames; nothing for nothing."""
    if not data:
        return b""
    if len(data) <= FRAME_PLAINTEXT:
        sealed = seal(data)
        return len(sealed).to_bytes(4, "big") + sealed
    parts: list[bytes] = []
    view = memoryview(data)
    for start in range(0, len(data), FRAME_PLAINTEXT):
        sealed = seal(view[start : start + FRAME_PLAINTEXT])
        parts += (len(sealed).to_bytes(4, "big"), sealed)
    return b"".join(parts)


class _Opener:
    """Frames in, plaintext out, for every way in which the bytes can be split. Holds at most one frame."""

    __slots__ = ("_failure", "_held", "_need", "_open")

    def __init__(self, open_frame: Callable[[memoryview], bytes]) -> None:
        self._open = open_frame
        self._held = bytearray()
        self._need = 4  # bytes that must be held before anything can be done
        self._failure: str | None = None

    def feed(self, data: bytes) -> bytes:
        """Plaintext of the frames that `data` completes. Raises: SealError CHUNK_TOO_LARGE, AEAD_DECRYPT_FAILED, SEQUENCE_OVERFLOW."""
        if self._failure is not None:
            raise SealError(self._failure)
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return b""
            data = bytes(self._held)
            self._held.clear()
        try:
            plaintext, used = self._drain(memoryview(data))
        except SealError as problem:
            self._failure = problem.code
            raise
        self._held += data[used:]
        return plaintext

    def finish(self) -> None:
        """The HTTP body ended. Raises: SealError FRAMING_TRUNCATED inside a frame, or the failure that came before."""
        if self._failure is not None:
            raise SealError(self._failure)
        if self._held:
            self._failure = "FRAMING_TRUNCATED"
            raise SealError(self._failure)

    def _drain(self, view: memoryview) -> tuple[bytes, int]:
        """Open every whole frame of `view`; returns the plaintext and the number of bytes used."""
        parts: list[bytes] = []
        at, end = 0, len(view)
        self._need = 4
        while end - at >= 4:
            length: int = _LENGTH.unpack_from(view, at)[0]
            if length > MAX_FRAME:
                raise SealError("CHUNK_TOO_LARGE")
            if end - at - 4 < length:
                self._need = 4 + length
                break
            if length:
                parts.append(self._open(view[at + 4 : at + 4 + length]))
            at += 4 + length
        return (parts[0] if len(parts) == 1 else b"".join(parts)), at


# --- the answer's direction (SPEC §4.4) ---------------------------------------------------------------------------------


class _ResponseKey:
    """The answer's AEAD key and nonces, which both sides derive alike."""

    __slots__ = ("_base", "_cipher", "_sequence")

    def __init__(self, secret: bytes, enc: bytes, nonce: bytes) -> None:
        key = hkdf_extract(enc + nonce, secret)
        self._cipher = AESGCM(hkdf_expand(key, b"key", 32))
        self._base = int.from_bytes(hkdf_expand(key, b"nonce", 12), "big")
        self._sequence = 0

    def _nonce(self) -> bytes:
        if self._sequence >= _SEQUENCE_LIMIT:
            raise SealError("SEQUENCE_OVERFLOW")
        return (self._base ^ self._sequence).to_bytes(12, "big")

    def seal(self, plaintext: bytes | memoryview) -> bytes:
        sealed = self._cipher.encrypt(self._nonce(), plaintext, None)
        self._sequence += 1
        return sealed

    def open(self, ciphertext: memoryview) -> bytes:
        nonce = self._nonce()
        if len(ciphertext) < TAG_SIZE:
            raise SealError("AEAD_DECRYPT_FAILED")
        try:
            plaintext = self._cipher.decrypt(nonce, ciphertext, None)
        except InvalidTag:
            raise SealError("AEAD_DECRYPT_FAILED") from None
        self._sequence += 1
        return plaintext


class ResponseOpener(_Opener):
    """Client side: opens the answer to one sealed request. `secret` is its HPKE context's export, `enc` its encapsulated key."""

    __slots__ = ()

    def __init__(self, secret: bytes, enc: bytes, nonce: bytes) -> None:
        super().__init__(_ResponseKey(secret, enc, nonce).open)


class ResponseSealer:
    """Server side: seals the answer to one opened request. `nonce_hex` goes into header ehbp-response-nonce."""

    __slots__ = ("_key", "nonce_hex")

    def __init__(self, secret: bytes, enc: bytes, nonce: bytes) -> None:
        self._key = _ResponseKey(secret, enc, nonce)
        self.nonce_hex = nonce.hex()

    def seal(self, data: bytes) -> bytes:
        """`data` as one or more frames (none when it is empty). Raises: SealError SEQUENCE_OVERFLOW."""
        return _frames(self._key.seal, data)


# --- the request's direction --------------------------------------------------------------------------------------------


class RequestSealer:
    """Client side: one request to the holder of `public_key`. Raises: SealError INVALID_KEY_CONFIG, HPKE_SETUP_FAILED."""

    __slots__ = ("_context", "encapsulated_key")

    def __init__(self, public_key: bytes, *, ephemeral: X25519PrivateKey | None = None) -> None:
        self._context = setup_sender(public_key, _INFO, ephemeral=ephemeral)
        self.encapsulated_key = self._context.enc.hex()  # for header ehbp-encapsulated-key

    def seal(self, body: bytes) -> bytes:
        """The whole body as frames.

        Raises: SealError INVALID_INPUT for an empty body: without a sealed byte nothing authenticates the encapsulated key,
        and a man in the middle could put in his own and read the answer (SPEC §7.4).
        """
        if not body:
            raise SealError("INVALID_INPUT", "an empty body can't be sealed")
        return _frames(self._context.seal, body)

    def response_opener(self, nonce_hex: str) -> ResponseOpener:
        """The opener of this request's answer. Raises: SealError INVALID_RESPONSE_NONCE."""
        if not _HEX64.fullmatch(nonce_hex):
            raise SealError("INVALID_RESPONSE_NONCE")
        return ResponseOpener(self._context.export(_EXPORT_LABEL, 32), self._context.enc, bytes.fromhex(nonce_hex))


class RequestOpener(_Opener):
    """Server side: opens one request body. Raises: SealError INVALID_ENCAPSULATED_KEY, HPKE_SETUP_FAILED.

    `finish()` also refuses a body in which no frame authenticated `enc_hex`; until one did there is no `response_sealer()`.
    """

    __slots__ = ("_authenticated", "_context", "_enc")

    def __init__(self, private_key: X25519PrivateKey, enc_hex: str) -> None:
        if not _HEX64.fullmatch(enc_hex):
            raise SealError("INVALID_ENCAPSULATED_KEY")
        self._enc = bytes.fromhex(enc_hex)
        self._context: RecipientContext = setup_recipient(private_key, self._enc, _INFO)
        self._authenticated = False
        super().__init__(self._open_frame)

    def _open_frame(self, ciphertext: memoryview) -> bytes:
        plaintext = self._context.open(ciphertext)
        self._authenticated = True
        return plaintext

    def finish(self) -> None:
        """The HTTP body ended. Raises: SealError FRAMING_TRUNCATED inside a frame or before any, or the failure that came before."""
        super().finish()
        if not self._authenticated:
            raise SealError("FRAMING_TRUNCATED", "no frame authenticates the encapsulated key")

    def response_sealer(self, nonce: bytes) -> ResponseSealer:
        """The sealer of the answer; `nonce` is 32 fresh random bytes. Raises: SealError INVALID_INPUT."""
        if len(nonce) != _NONCE_SIZE:
            raise SealError("INVALID_INPUT", "a response nonce has 32 bytes")
        if not self._authenticated:
            raise SealError("INVALID_INPUT", "no frame of the request was opened")
        return ResponseSealer(self._context.export(_EXPORT_LABEL, 32), self._enc, nonce)
