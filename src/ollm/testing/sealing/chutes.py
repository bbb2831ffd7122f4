"""Chutes' side of its body encryption: one instance with its ML-KEM key, and the API before it that hands out single-use nonces."""

import base64
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ollm.testing.sealing.cheats import Cheat, Refused, event, tampered


def _aead(shared: bytes, encapsulated: bytes, label: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, encapsulated[:16], label).derive(shared))


def _sealed(aead: ChaCha20Poly1305, data: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + aead.encrypt(nonce, data, None)


class ChutesExchange:
    """One opened request; seals the answers to it."""

    def __init__(self, path: str, request: dict[str, Any], client_key: bytes, sent: bytes) -> None:
        self.path = path
        self.request = request
        self._client_key = client_key
        self._sent = sent

    def headers(self, cheat: Cheat = Cheat.NONE) -> dict[str, str]:
        """Headers of the answer that belong to the protocol."""
        return {}

    def _agree(self, label: bytes, cheat: Cheat) -> tuple[bytes, ChaCha20Poly1305]:
        key = MLKEM768PublicKey.from_public_bytes(self._client_key)
        if cheat is Cheat.SWAPPED_KEY:
            key = MLKEM768PrivateKey.generate().public_key()
        shared, encapsulated = key.encapsulate()
        return encapsulated, _aead(shared, encapsulated, label)

    def whole(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> bytes:
        """The body of a whole answer."""
        plain = json.dumps(document).encode()
        if cheat is Cheat.PLAINTEXT:
            return plain
        if cheat is Cheat.REFLECTED:
            return self._sent
        encapsulated, aead = self._agree(b"e2e-resp-v1", cheat)
        return encapsulated + _sealed(aead, gzip.compress(plain))

    def stream(self, documents: Sequence[dict[str, Any]], cheat: Cheat = Cheat.NONE) -> list[bytes]:
        """The events of a streamed answer: the instance's, line by line, with the relay's own usage and end mark in the clear."""
        if cheat is Cheat.PLAINTEXT:
            return [*map(event, documents), b"data: [DONE]\n\n"]
        encapsulated, aead = self._agree(b"e2e-stream-v1", cheat)
        events = [event({"e2e_init": base64.b64encode(encapsulated).decode()})]
        for document in documents:
            if document.get("usage"):
                events.append(event({"usage": document["usage"]}))
            sealed = self._sent[1088:] if cheat is Cheat.REFLECTED else _sealed(aead, event(document)[:-1])
            events.append(event({"e2e": base64.b64encode(sealed).decode()}))
        events.append(event({"e2e": base64.b64encode(_sealed(aead, b"data: [DONE]\n")).decode()}))
        events.append(event({"e2e": base64.b64encode(_sealed(aead, b"\n")).decode()}))
        return tampered([*events, b"data: [DONE]\n\n"], cheat, head=1)


class ChutesRecipient:
    """One instance behind the API."""

    def __init__(self, *, chute_id: str = "chute", instance_id: str = "instance") -> None:
        self._key = MLKEM768PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes_raw()
        self.chute_id = chute_id
        self.instance_id = instance_id
        self._nonces: set[str] = set()

    def new_nonce(self) -> str:
        """A nonce as discovery hands it out."""
        nonce = os.urandom(16).hex()
        self._nonces.add(nonce)
        return nonce

    def open(self, path: str, headers: Mapping[str, str], body: bytes) -> ChutesExchange:
        """A request to the invoke path. Raises: Refused, as the API (403, 404) or the instance (400) would."""
        named = {name.lower(): value for name, value in headers.items()}
        if path != "/e2e/invoke" or named.get("x-chute-id") != self.chute_id or named.get("x-instance-id") != self.instance_id:
            raise Refused("not_found", 404)
        nonce = named.get("x-e2e-nonce", "")
        if nonce not in self._nonces:
            raise Refused("invalid, expired, or already-used nonce", 403)
        self._nonces.remove(nonce)
        encapsulated = body[:1088]
        aead = _aead(self._key.decapsulate(encapsulated), encapsulated, b"e2e-req-v1")
        try:
            request = json.loads(gzip.decompress(aead.decrypt(body[1088:1100], body[1100:], None)))
        except InvalidTag:
            raise Refused("E2E decryption failed") from None
        client_key = base64.b64decode(request.pop("e2e_response_pk"))
        if named.get("x-e2e-stream") != ("true" if request.get("stream") else "false"):
            raise Refused("the header and the body disagree about streaming")
        return ChutesExchange(named.get("x-e2e-path", ""), request, client_key, body)
