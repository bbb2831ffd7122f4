"""Chutes' body encryption, version 1 (chutes-e2ee 0.1.0; chutes/entrypoint/run.py): whole bodies, sealed to one instance by ML-KEM-768.

    blob  = ML-KEM ciphertext 1088 || nonce 12 || ChaCha20-Poly1305 ciphertext and tag         no associated data
    key   = HKDF-SHA256(salt = first 16 bytes of the ML-KEM ciphertext, shared secret, label, 32)

    request  label "e2e-req-v1",    to the instance's attested key: gzip(JSON with our own public key in e2e_response_pk)
    answer   label "e2e-resp-v1",   to our key: gzip(JSON)
    stream   label "e2e-stream-v1", to our key: event {"e2e_init": base64(ML-KEM ciphertext)}, then events
             {"e2e": base64(nonce || ciphertext and tag)}, each some lines of the plain stream

Our key travels inside the sealed request, so only the instance can answer: an answer that opens is from the attested key, and
for this request. The stream's own [DONE] comes sealed; only it ends the stream here, and a stream without it is cut. A piece that
comes twice is told by its nonce, which no sender uses twice.

What it cannot tell: pieces of a stream that were dropped or reordered. The path is chosen by whoever relays, among those that
the instance offers. The events in the clear (`usage`, `e2e_error`, [DONE]) are the relay's; none of them is passed on.

The request is packed as gzip without compression: the protocol demands the container, and compressing content before sealing
it would let its length tell about it.
"""

import base64
import re
import struct
import zlib
from collections.abc import Callable, Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ollm.errors import SealError
from ollm.seal.cipher import OCTETS, Failing, Random, SealedBody, sealed_unless_error
from ollm.seal.fields import answer_members, request_members, string_member
from ollm.seal.hpke import TAG_SIZE, hkdf_expand, hkdf_extract
from ollm.wire.sse import EventParser

NAME = "chutes-e2ee-v1"
INVOKE_PATH = "/e2e/invoke"
PUBLIC_KEY_SIZE = 1184  # FIPS 203 §8: ML-KEM-768
ENCAPSULATED_SIZE = 1088
MAX_ANSWER = 64 << 20  # bytes of a whole answer once unpacked: a bomb stops here
MAX_PIECES = 1 << 20  # sealed events of one stream, whose nonces are remembered

REQUEST_LABEL = b"e2e-req-v1"
ANSWER_LABEL = b"e2e-resp-v1"
STREAM_LABEL = b"e2e-stream-v1"

_REPLY_KEY = "e2e_response_pk"
_NONCE_SIZE = 12
_GZIP = 31  # zlib's window bits for the gzip container (RFC 1952)
_GZIP_HEAD = bytes.fromhex("1f8b08000000000000ff")  # deflate, no flags, no time, unknown system
_GZIP_TAIL = struct.Struct("<II")  # CRC-32 and size
_BLOCK = 0xFFFF
_STORED = struct.Struct("<BHH")  # whether it is the last block; its size, and that inverted
_TOKEN = re.compile(r"[!-~]{1,256}")  # what may stand in a header: no space, no line end
_DONE = b"data: [DONE]"


def derive(shared_secret: bytes, encapsulated: bytes, label: bytes) -> ChaCha20Poly1305:
    """The AEAD for one direction of one exchange."""
    return ChaCha20Poly1305(hkdf_expand(hkdf_extract(encapsulated[:16], shared_secret), label, 32))


def _in_clear(data: bytes) -> bool:
    """Whether an answer looks like a JSON object: ciphertext begins like one now and then, and is no text."""
    try:
        return data.decode().lstrip().startswith("{")
    except UnicodeDecodeError:
        return False


def _unseal(aead: ChaCha20Poly1305, data: bytes) -> bytes:
    if len(data) < _NONCE_SIZE + TAG_SIZE:
        raise SealError("MALFORMED_ANSWER", "a sealed piece is too short")
    try:
        return aead.decrypt(data[:_NONCE_SIZE], data[_NONCE_SIZE:], None)
    except InvalidTag:
        raise SealError("AEAD_DECRYPT_FAILED") from None


def _packed(data: bytes) -> bytes:
    """`data` in a gzip container (RFC 1952) of stored blocks (RFC 1951 §3.2.4); zlib would set up its windows for nothing."""
    out = [_GZIP_HEAD]
    for at in range(0, len(data), _BLOCK):
        block = data[at : at + _BLOCK]
        out += (_STORED.pack(at + _BLOCK >= len(data), len(block), len(block) ^ 0xFFFF), block)
    out.append(_GZIP_TAIL.pack(zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(out)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(data, MAX_ANSWER)
    except zlib.error:
        raise SealError("MALFORMED_ANSWER", "the sealed answer is not gzip") from None
    if not unpacker.eof or unpacker.unused_data:
        raise SealError("MALFORMED_ANSWER", "the sealed answer is cut, too large, or followed by something")
    return plain


class ChutesAnswer(Failing):
    """Opens the answer to one request."""

    __slots__ = ("_aead", "_ended", "_events", "_own", "_seen")

    def __init__(self, own: MLKEM768PrivateKey) -> None:
        super().__init__()
        self._own = own
        self._aead: ChaCha20Poly1305 | None = None  # the stream's, once e2e_init came
        self._events = EventParser()
        self._seen: set[bytes] = set()
        self._ended = False

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """No header marks a sealed answer: everything but an error's is."""
        return sealed_unless_error(status)

    def whole(self, data: bytes) -> bytes:
        """A whole body, opened. Raises: SealError."""
        self._check()
        try:
            if len(data) < ENCAPSULATED_SIZE:
                raise SealError("MALFORMED_ANSWER", "shorter than any sealed answer")
            aead = self._agree(data[:ENCAPSULATED_SIZE], ANSWER_LABEL)
            return _unpacked(_unseal(aead, data[ENCAPSULATED_SIZE:]))
        except SealError as problem:
            raise self._fail(SealError("PLAINTEXT_ANSWER", "the answer came in the clear") if _in_clear(data) else problem) from None

    def feed(self, data: bytes) -> bytes:
        """The lines of the plain stream that `data` completes. Raises: SealError; WireError for an event that never ends."""
        self._check()
        try:
            return b"".join([self._event(event.data) for event in self._events.feed(data)])
        except SealError as problem:
            raise self._fail(problem) from None

    def finish(self) -> None:
        """The stream ended. Raises: SealError FRAMING_TRUNCATED where its sealed [DONE] had not come."""
        self._check()
        if not self._ended:
            raise self._fail(SealError("FRAMING_TRUNCATED", "the stream ended before its sealed end mark"))

    def _agree(self, encapsulated: bytes, label: bytes) -> ChaCha20Poly1305:
        return derive(self._own.decapsulate(encapsulated), encapsulated, label)

    def _event(self, data: bytes) -> bytes:
        if self._ended or data == b"[DONE]":
            return b""
        members = answer_members(data)
        if "e2e" in members:
            return self._piece(_base64(members, "e2e"))
        if "e2e_init" in members:
            encapsulated = _base64(members, "e2e_init")
            if self._aead is not None or len(encapsulated) != ENCAPSULATED_SIZE:
                raise SealError("MALFORMED_ANSWER", "a second key for the stream, or one of another size")
            self._aead = self._agree(encapsulated, STREAM_LABEL)
            return b""
        if "e2e_error" in members or "error" in members:
            raise SealError("PROVIDER_FAILED", "the provider reported an error inside the stream")
        if "usage" in members and len(members) == 1:
            return b""  # for the relay's bill; the counts that the instance vouches for come sealed
        raise SealError("PLAINTEXT_ANSWER", "an event of the stream came in the clear")

    def _piece(self, sealed: bytes) -> bytes:
        if self._aead is None:
            raise SealError("MALFORMED_ANSWER", "a sealed event before the stream's key")
        plain = _unseal(self._aead, sealed)
        nonce = sealed[:_NONCE_SIZE]
        if nonce in self._seen or len(self._seen) >= MAX_PIECES:
            raise SealError("MALFORMED_ANSWER", "a sealed event came twice, or there are too many")
        self._seen.add(nonce)
        if plain.startswith(_DONE) or b"\n" + _DONE in plain:
            self._ended = True
        lines = plain.rstrip(b"\r\n")
        return lines + b"\n\n" if lines else b""  # the sender seals line by line; each line of it is one event


def _base64(members: dict[str, msgspec.Raw], name: str) -> bytes:
    try:
        return base64.b64decode(string_member(members, name) or "", validate=True)
    except ValueError:
        raise SealError("MALFORMED_ANSWER", "a sealed event is not base64") from None


class ChutesCipher:
    """Seals to `public_key`, the attested key of one instance. `take_nonce` gives one of its single-use nonces for every call.

    Raises: SealError INVALID_KEY_CONFIG; whatever `take_nonce` raises passes through `seal`.
    """

    name = NAME

    def __init__(self, public_key: bytes, *, chute_id: str, instance_id: str, take_nonce: Callable[[], str], random: Random) -> None:
        try:
            self._peer = MLKEM768PublicKey.from_public_bytes(public_key)
        except ValueError:
            raise SealError("INVALID_KEY_CONFIG", "not an ML-KEM-768 public key") from None
        self._ids = (("X-Chute-Id", _token(chute_id)), ("X-Instance-Id", _token(instance_id)))
        self._take_nonce = take_nonce
        self._random = random

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, ChutesAnswer]:
        """The whole body, sealed, for any path that takes JSON. Raises: SealError INVALID_INPUT."""
        members = request_members(body)
        if _REPLY_KEY in members:
            raise SealError("INVALID_INPUT", "the request has a member of this protocol's own")
        ours = MLKEM768PrivateKey.generate()
        members[_REPLY_KEY] = msgspec.Raw(msgspec.json.encode(ours.public_key().public_bytes_raw()))  # bytes become base64
        shared_secret, encapsulated = self._peer.encapsulate()
        nonce = self._random(_NONCE_SIZE)
        sealed = derive(shared_secret, encapsulated, REQUEST_LABEL).encrypt(nonce, _packed(msgspec.json.encode(members)), None)
        headers = (
            *self._ids,
            ("X-E2E-Nonce", _token(self._take_nonce())),
            ("X-E2E-Stream", "true" if streamed else "false"),
            ("X-E2E-Path", _token(path)),
        )
        return SealedBody(encapsulated + nonce + sealed, headers, OCTETS, INVOKE_PATH), ChutesAnswer(ours)


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise SealError("INVALID_INPUT", "a value that can't stand in a header")
    return text
