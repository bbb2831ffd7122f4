"""Privatemode's side: the secret service that agrees on secrets, and the inference proxy that opens and seals members."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC

from ollm.testing.sealing.cheats import DONE, Cheat, Refused, event, tampered

_PLAIN_CHAT = {"model", "stream_options", "max_tokens", "max_completion_tokens", "n", "stream"}
_PLAIN_ANSWER = {"id", "usage"}


# --- HPKE, export only (RFC 9180), as the service does it -----------------------------------------------------------------


def _hmac(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, SHA256())
    mac.update(data)
    return mac.finalize()


def _exported(shared: bytes) -> bytes:
    suite = b"HPKE" + bytes.fromhex("647a0001ffff")

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return _hmac(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)

    def expand(prk: bytes, label: bytes, info: bytes) -> bytes:
        return _hmac(prk, b"\x00\x20HPKE-v1" + suite + label + info + b"\x01")

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", b"")
    secret = extract(shared, b"secret", b"")
    return expand(expand(secret, b"exp", context), b"sec", b"")


def _encapsulated(public_key: bytes) -> tuple[bytes, bytes]:
    """X-Wing: shared secret and encapsulated key."""
    pq_secret, pq_ciphertext = MLKEM768PublicKey.from_public_bytes(public_key[:1184]).encapsulate()
    own, peer = X25519PrivateKey.generate(), public_key[1184:]
    point = own.public_key().public_bytes_raw()
    agreed = own.exchange(X25519PublicKey.from_public_bytes(peer))
    return hashlib.sha3_256(pq_secret + agreed + point + peer + b"\\.//^\\").digest(), pq_ciphertext + point


class SecretService:
    """Agrees on secrets and signs each agreement."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self.public_key = self._key.public_key()
        self.secrets: dict[str, bytes] = {}

    def exchange(self, public_key: bytes) -> tuple[bytes, bytes]:
        """The encapsulated key and the signature over both keys."""
        shared, encapsulated = _encapsulated(public_key)
        digest = Hash(SHA256())
        digest.update(public_key)
        self.secrets[base64.b64encode(digest.finalize()).decode()] = _exported(shared)
        return encapsulated, self._key.sign(public_key + encapsulated, ec.ECDSA(SHA256()))


# --- members ---------------------------------------------------------------------------------------------------------------


class PrivatemodeExchange:
    """One opened request; seals the answers to it. Fields are numbered on through all of its documents."""

    def __init__(self, request: dict[str, Any], id: str, secret: bytes, nonce: bytes, blobs: Sequence[str]) -> None:
        self.request = request
        self._id = id
        self._secret = secret
        self._nonce = nonce
        self._blobs = blobs
        self._sequence = 0

    def headers(self, cheat: Cheat = Cheat.NONE) -> dict[str, str]:
        """Headers of the answer that belong to the protocol."""
        return {"Privatemode-Encrypted": "false"} if cheat is Cheat.PLAINTEXT else {}

    def sealed(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> dict[str, Any]:
        """One document of an answer with its members sealed."""
        out = dict(document)
        if cheat is Cheat.PLAINTEXT:
            return out
        aead = AESGCM(os.urandom(32) if cheat is Cheat.SWAPPED_KEY else self._secret)
        for name in sorted(set(out) - _PLAIN_ANSWER):
            iv = os.urandom(12)
            aad = self._nonce + self._sequence.to_bytes(4, "little")
            ciphertext = aead.encrypt(iv, json.dumps(out[name]).encode(), aad)
            out[name] = f"{self._id}:{self._nonce.hex()}:{iv.hex()}:{ciphertext.hex()}"
            if cheat is Cheat.REFLECTED:
                out[name] = self._blobs[min(self._sequence, len(self._blobs) - 1)]
            self._sequence += 1
        return out

    def whole(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> bytes:
        """The body of a whole answer."""
        return json.dumps(self.sealed(document, cheat)).encode()

    def stream(self, documents: Sequence[dict[str, Any]], cheat: Cheat = Cheat.NONE) -> list[bytes]:
        """The events of a streamed answer, with the end mark."""
        return tampered([*(event(self.sealed(document, cheat)) for document in documents), DONE], cheat)


class PrivatemodeRecipient:
    """An inference proxy that knows the secrets of a service."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._secrets = secrets

    def open(self, path: str, headers: Mapping[str, str], body: bytes) -> PrivatemodeExchange:
        """Raises: Refused, where the proxy would."""
        named = {name.lower(): value for name, value in headers.items()}
        id = named.get("privatemode-secret-id", "")
        secret = self._secrets.get(id)
        if secret is None:
            raise Refused("no secret for ID", 500)
        request = json.loads(body)
        plain = {"model"} if path.endswith("/embeddings") else _PLAIN_CHAT
        nonce, blobs = b"", []
        for sequence, name in enumerate(sorted(set(request) - plain)):
            try:
                blob_id, nonce_hex, iv, ciphertext = request[name].split(":")
                nonce = nonce or bytes.fromhex(nonce_hex)
                aad = nonce + sequence.to_bytes(4, "little")
                value = AESGCM(secret).decrypt(bytes.fromhex(iv), bytes.fromhex(ciphertext), aad)
            except (ValueError, AttributeError, InvalidTag):
                raise Refused("deciphering input", 500) from None
            if blob_id != id:
                raise Refused("multiple different IDs used for encrypting data", 500)
            blobs.append(request[name])
            request[name] = json.loads(value)
        return PrivatemodeExchange(request, id, secret, nonce, blobs)
