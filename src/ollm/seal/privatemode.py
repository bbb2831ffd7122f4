"""Privatemode's field encryption (edgelesssys/privatemode-public, internal/oss): top-level members, under a shared secret.

    member  "id:nonce:iv:ciphertext"        id of the secret; the rest lower-case hex
            AES-256-GCM(secret, iv 12, JSON text of the value, AAD = nonce 12 || sequence number, u32 little-endian)

`nonce` is drawn for one exchange and stands in every field of it. In a request the fields that are not listed as plain are
numbered from 0 in ascending order of their names; so are those of the answer, from 0 again, on through all events of a stream.

So an answer's fields come from a holder of the secret, for this exchange, in order and without a gap. The protocol has faults,
and this is what becomes of them here:
- One key and one numbering for both directions: a request's field reads as an answer's. Reflected ciphertexts are refused.
- `Privatemode-Encrypted: false`, set by whoever relays, makes the provider's own client take plaintext. Refused here.
- Names are not authenticated: members can be renamed as long as their order holds. It cannot be told.
- The end is not authenticated: events cut from the end of a stream, and the last members of its last event, cannot be told.
- Plain members can be changed: `model`, limits and `stream` of the request; `id` and `usage`, from which is billed, of the answer.

The secret is agreed in `secret_exchange`; every attested inference proxy of the provider can use it.
"""

import re
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ollm.errors import SealError
from ollm.seal.cipher import Random, SealedBody
from ollm.seal.fields import answer_members, json_of, request_members, string_member
from ollm.seal.hpke import TAG_SIZE
from ollm.seal.json_answers import JsonAnswer
from ollm.seal.openai_fields import CHAT, COMPLETIONS, EMBEDDINGS

NAME = "privatemode-v1"

_NONCE_SIZE = 12
_encode = msgspec.json.encode
# The provider's JSON paths give other characters a meaning, and its order is that of the escaped name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9+/=_-]{1,128}")

_CHAT_REQUEST = frozenset({"model", "stream_options", "max_tokens", "max_completion_tokens", "n", "stream"})
_ANSWER = frozenset({"id", "usage"})
PLAIN: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {  # path → plain members of request and answer
    CHAT: (_CHAT_REQUEST, _ANSWER),
    COMPLETIONS: (_CHAT_REQUEST, _ANSWER),
    EMBEDDINGS: (frozenset({"model"}), _ANSWER),
    "/v1/messages": (frozenset({"model", "stream"}), frozenset({"id", "type", "usage"})),
}


def associated_data(nonce: bytes, sequence: int) -> bytes:
    """What a field is bound to. Raises: SealError SEQUENCE_OVERFLOW."""
    if sequence >= 1 << 32:
        raise SealError("SEQUENCE_OVERFLOW")
    return nonce + sequence.to_bytes(4, "little")


def _ordered(members: dict[str, msgspec.Raw], plain: frozenset[str], code: str) -> list[str]:
    """Names of the sealed members, in the order in which they are numbered."""
    names = [name for name in members if name not in plain]
    if not all(map(_NAME.fullmatch, names)):
        raise SealError(code, "a member's name has no agreed place in the order")
    return sorted(names)


class PrivatemodeAnswer(JsonAnswer):
    """Opens the answer to one request."""

    __slots__ = ("_aead", "_id", "_nonce", "_plain", "_sent", "_sequence")

    def __init__(self, aead: AESGCM, id: str, nonce: bytes, sent: frozenset[bytes], plain: frozenset[str]) -> None:
        super().__init__()
        self._aead = aead
        self._id = id
        self._nonce = nonce
        self._sent = sent  # iv || ciphertext of every field of the request
        self._plain = plain
        self._sequence = 0

    def begin(self, status: int, headers: Mapping[bytes, bytes]) -> bool:
        """Everything but an error's answer is sealed. Raises: SealError PLAINTEXT_ANSWER where the relay says it is not."""
        if status >= 400:
            return False
        if headers.get(b"privatemode-encrypted", b"").strip().lower() == b"false":
            raise SealError("PLAINTEXT_ANSWER", "the answer is marked as not encrypted")
        return True

    def _document(self, data: bytes) -> bytes:
        members = answer_members(data)
        for name in _ordered(members, self._plain, "MALFORMED_ANSWER"):
            members[name] = json_of(self._open(string_member(members, name)))
        return _encode(members)

    def _open(self, blob: str | None) -> bytes:
        parts = (blob or "").split(":")
        try:
            id, nonce, iv, ciphertext = parts[0], *map(bytes.fromhex, parts[1:])
        except ValueError:  # other than four parts, or not hex
            raise SealError("PLAINTEXT_ANSWER", "a member that must be sealed is not") from None
        if len(iv) != _NONCE_SIZE or len(ciphertext) < TAG_SIZE:
            raise SealError("PLAINTEXT_ANSWER", "a member that must be sealed is not")
        if iv + ciphertext in self._sent:
            raise SealError("REFLECTED_CIPHERTEXT", "a field of the request came back as the answer")
        if id != self._id or nonce != self._nonce:
            raise SealError("AEAD_DECRYPT_FAILED")
        try:
            plaintext = self._aead.decrypt(iv, ciphertext, associated_data(self._nonce, self._sequence))
        except InvalidTag:
            raise SealError("AEAD_DECRYPT_FAILED") from None
        self._sequence += 1
        return plaintext


class PrivatemodeCipher:
    """Seals under `secret` (32 bytes), which the provider knows by `secret_id`. Raises: SealError INVALID_KEY_CONFIG."""

    name = NAME

    def __init__(self, secret: bytes, secret_id: str, *, random: Random) -> None:
        if len(secret) != 32 or not _ID.fullmatch(secret_id):
            raise SealError("INVALID_KEY_CONFIG", "a secret has 32 bytes and an id in base64")
        self._aead = AESGCM(secret)
        self._id = secret_id
        self._random = random

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, PrivatemodeAnswer]:
        """`body` with every member sealed that is not listed as plain. Raises: SealError UNSUPPORTED_ENDPOINT, INVALID_INPUT."""
        plain = PLAIN.get(path)
        if plain is None:
            raise SealError("UNSUPPORTED_ENDPOINT", "this protocol's members are not known for that path")
        members = request_members(body)
        nonce = self._random(_NONCE_SIZE)
        sent = set()
        for sequence, name in enumerate(_ordered(members, plain[0], "INVALID_INPUT")):
            iv = self._random(_NONCE_SIZE)
            ciphertext = self._aead.encrypt(iv, bytes(members[name]), associated_data(nonce, sequence))
            sent.add(iv + ciphertext)
            members[name] = msgspec.Raw(f'"{self._id}:{nonce.hex()}:{iv.hex()}:{ciphertext.hex()}"'.encode())
        if not sent:
            raise SealError("INVALID_INPUT", "the request has nothing that could be sealed")
        headers = (("Privatemode-Secret-ID", self._id),)
        return SealedBody(_encode(members), headers), PrivatemodeAnswer(self._aead, self._id, nonce, frozenset(sent), plain[1])
