"""The service's side of ACI's field encryption, version 2, from spec/e2ee-v2.md."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.testing.sealing.cheats import DONE, Cheat, Refused, event, tampered

X25519 = "x25519-aes-256-gcm-hkdf-sha256"
SECP256K1 = "secp256k1-aes-256-gcm-hkdf-sha256"

_Key = X25519PrivateKey | ec.EllipticCurvePrivateKey


def _new(algo: str) -> _Key:
    return X25519PrivateKey.generate() if algo == X25519 else ec.generate_private_key(ec.SECP256K1())


def public_bytes(key: _Key) -> bytes:
    """The public half as it stands in keysets, headers and blobs."""
    if isinstance(key, X25519PrivateKey):
        return key.public_key().public_bytes_raw()
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _aead(key: _Key, peer: bytes) -> AESGCM:
    if isinstance(key, X25519PrivateKey):
        shared, info = key.exchange(X25519PublicKey.from_public_bytes(peer)), b"aci.e2ee.v2.x25519"
    else:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), peer)
        shared, info = key.exchange(ec.ECDH(), point), b"aci.e2ee.v2.secp256k1"
    return AESGCM(HKDF(SHA256(), 32, None, info).derive(shared))


def _jcs(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class AciExchange:
    """One opened request; seals the answers to it."""

    def __init__(self, path: str, request: dict[str, Any], client_key: bytes, context: Mapping[str, Any], blobs: Sequence[str]) -> None:
        self.path = path
        self.request = request
        self._client_key = client_key
        self._context = context
        self._blobs = blobs

    def headers(self, cheat: Cheat = Cheat.NONE) -> dict[str, str]:
        """Headers of the answer that belong to the protocol."""
        return {"X-E2EE-Applied": "true", "X-E2EE-Version": "2", "X-E2EE-Algo": str(self._context["algo"])}

    def sealed(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> dict[str, Any]:
        """One document of an answer with its content sealed."""
        out: dict[str, Any] = json.loads(json.dumps(document))
        if cheat is Cheat.PLAINTEXT:
            return out
        algo = self._context["algo"]
        client_key = public_bytes(_new(algo)) if cheat is Cheat.SWAPPED_KEY else self._client_key

        def seal(field: str, text: str) -> str:
            if cheat is Cheat.REFLECTED:
                return self._blobs[0]
            aad = {**self._context, "purpose": "aci.e2ee.response.v2", "field": field, "id": out.get("id", "")}
            ephemeral, nonce = _new(algo), os.urandom(12)
            return (public_bytes(ephemeral) + nonce + _aead(ephemeral, client_key).encrypt(nonce, text.encode(), _jcs(aad))).hex()

        for position, choice in enumerate(out.get("choices", [])):
            _seal_choice(choice, f"choices.{choice.get('index', position)}", seal)
        for position, item in enumerate(out.get("data", [])):
            item["embedding"] = seal(f"data.{item.get('index', position)}.embedding", json.dumps(item["embedding"]))
        return out

    def whole(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> bytes:
        """The body of a whole answer."""
        return json.dumps(self.sealed(document, cheat)).encode()

    def stream(self, documents: Sequence[dict[str, Any]], cheat: Cheat = Cheat.NONE) -> list[bytes]:
        """The events of a streamed answer, with the end mark."""
        return tampered([*(event(self.sealed(document, cheat)) for document in documents), DONE], cheat)


def _seal_choice(choice: dict[str, Any], at: str, seal: Callable[[str, str], str]) -> None:
    if isinstance(choice.get("text"), str):
        choice["text"] = seal(f"{at}.text", choice["text"])
    for kind in ("message", "delta"):
        said = choice.get(kind) or {}
        if kind == "delta" and said.get("content") == "":
            del said["content"]
        for name in ("content", "reasoning", "reasoning_content"):
            if isinstance(said.get(name), str):
                said[name] = seal(f"{at}.{kind}.{name}", said[name])
        if isinstance(said.get("audio"), dict) and kind == "message":
            said["audio"]["data"] = seal(f"{at}.message.audio.data", said["audio"]["data"])


class AciRecipient:
    """A service with one E2EE key in its keyset."""

    def __init__(self, algo: str = X25519) -> None:
        self.algo = algo
        self._key = _new(algo)
        self.public_key = public_bytes(self._key)
        self._used: set[tuple[str, str]] = set()

    def open(self, path: str, headers: Mapping[str, str], body: bytes, *, now: int) -> AciExchange:
        """Raises: Refused with the error type of spec §9."""
        named = {name.lower(): value for name, value in headers.items()}
        nonce, client_key = self._judged(named, now)
        request = json.loads(body)
        if not isinstance(request.get("model"), str):
            raise Refused("e2ee_invalid_payload_model")
        context = {"algo": self.algo, "model": request["model"], "nonce": nonce, "ts": int(named["x-e2ee-timestamp"])}
        blobs: list[str] = []

        def unseal(field: str, blob: str) -> str:
            blobs.append(blob)
            size = 32 if self.algo == X25519 else 65
            try:
                data = bytes.fromhex(blob)
                aad = _jcs({**context, "purpose": "aci.e2ee.request.v2", "field": field})
                return _aead(self._key, data[:size]).decrypt(data[size : size + 12], data[size + 12 :], aad).decode()
            except (ValueError, InvalidTag):
                raise Refused("e2ee_decryption_failed") from None

        _open_request(path, request, unseal)
        if not blobs:
            raise Refused("e2ee_decryption_failed")
        return AciExchange(path, request, client_key, context, blobs)

    def _judged(self, named: Mapping[str, str], now: int) -> tuple[str, bytes]:
        needed = ("x-e2ee-version", "x-client-pub-key", "x-model-pub-key", "x-e2ee-nonce", "x-e2ee-timestamp")
        if any(name not in named for name in needed):
            raise Refused("e2ee_header_missing")
        if named["x-e2ee-version"] != "2" or "x-signing-algo" in named:
            raise Refused("e2ee_invalid_version")
        if bytes.fromhex(named["x-model-pub-key"])[-64:] != self.public_key[-64:]:
            raise Refused("e2ee_model_key_mismatch")
        if abs(int(named["x-e2ee-timestamp"]) - now) > 300:
            raise Refused("e2ee_invalid_timestamp")
        used = (named["x-client-pub-key"], named["x-e2ee-nonce"])
        if len(used[1]) != 64:
            raise Refused("e2ee_invalid_nonce")
        if used in self._used:
            raise Refused("e2ee_replay_detected")
        self._used.add(used)
        return used[1], bytes.fromhex(used[0])


def _open_request(path: str, request: dict[str, Any], unseal: Callable[[str, str], str]) -> None:
    if path.endswith("/chat/completions"):
        for position, message in enumerate(request["messages"]):
            if not isinstance(message.get("content"), str):
                continue
            text = unseal(f"messages.{position}.content", message["content"])
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = None
            message["content"] = parsed if isinstance(parsed, list) else text
        return
    name = "prompt" if path.endswith("/completions") else "input"
    value = request[name]
    if isinstance(value, str):
        request[name] = unseal(name, value)
    else:
        request[name] = [unseal(f"{name}.{index}", item) if isinstance(item, str) else item for index, item in enumerate(value)]
