"""NEAR's side of its field encryption, version 2: what its inference proxy does, over libsodium.

recipient = NearRecipient()                      holds an Ed25519 key, as the machine does
exchange = recipient.open(path, headers, body)   raises Refused as the proxy does
exchange.whole(document), exchange.stream(documents)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings, exceptions

from ollm.testing.sealing.cheats import DONE, Cheat, Refused, event, tampered

Apply = Callable[[str], str]


def _symmetric(secret: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, b"ed25519_encryption").derive(bindings.crypto_scalarmult(secret, public))


def seal(client_ed25519: bytes, text: str) -> str:
    """`text` for the holder of this Ed25519 key; the empty string stays empty."""
    if not text:
        return ""
    ephemeral_public, ephemeral_secret = bindings.crypto_box_keypair()
    key = _symmetric(ephemeral_secret, bindings.crypto_sign_ed25519_pk_to_curve25519(client_ed25519))
    nonce = bindings.randombytes(24)
    return (ephemeral_public + nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(text.encode(), None, nonce, key)).hex()


def unseal(ed25519_secret: bytes, blob: str) -> str:
    """What `blob` holds. Raises: Refused."""
    if not blob:
        return ""
    try:
        data = bytes.fromhex(blob)
        key = _symmetric(bindings.crypto_sign_ed25519_sk_to_curve25519(ed25519_secret), data[:32])
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(data[56:], None, data[32:56], key).decode()
    except (ValueError, TypeError, exceptions.CryptoError):
        raise Refused("bad_request") from None


def _change(holder: Any, name: str, apply: Apply) -> None:
    if isinstance(holder, dict) and isinstance(holder.get(name), str):
        holder[name] = apply(holder[name])


def _listed(holder: Any, name: str) -> list[Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def _strings(holder: dict[str, Any], name: str, apply: Apply) -> None:
    if isinstance(holder.get(name), list):
        holder[name] = [apply(item) if isinstance(item, str) else item for item in holder[name]]
    _change(holder, name, apply)


def _functions(message: dict[str, Any], apply: Apply) -> None:
    for call in _listed(message, "tool_calls"):
        for name in ("name", "arguments"):
            _change(call.get("function"), name, apply)
    for name in ("name", "arguments"):
        _change(message.get("function_call"), name, apply)


def _open_chat(request: dict[str, Any], strict: Apply, lenient: Apply) -> None:
    for message in _listed(request, "messages"):
        content = message.get("content")
        if isinstance(content, str) and content:
            text = strict(content)
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = None
            message["content"] = parsed if isinstance(parsed, list) else text
        for name in ("reasoning_content", "reasoning"):
            _change(message, name, strict)
        _change(message.get("audio"), "data", strict)
        for name in ("refusal", "name"):
            _change(message, name, lenient)
        _functions(message, lenient)
    for tool in _listed(request, "tools"):
        function = tool.get("function", {})
        for name in ("name", "description"):
            _change(function, name, lenient)
        if isinstance(function.get("parameters"), str):
            function["parameters"] = json.loads(lenient(function["parameters"]))
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        _change(choice.get("function"), "name", lenient)
    _change(request.get("function_call"), "name", lenient)


def _seal_choice(choice: dict[str, Any], apply: Apply) -> None:
    message = choice.get("message") or choice.get("delta") or {}
    for name in ("content", "reasoning_content", "reasoning", "refusal"):
        _change(message, name, apply)
    for part in _listed(message, "content"):
        _change(part, "text", apply)
    _change(message.get("audio"), "data", apply)
    _change(message.get("nearai_tool_result"), "output", apply)
    _functions(message, apply)
    for kind in ("content", "refusal"):
        for token in _listed(choice.get("logprobs"), kind):
            for one in (token, *_listed(token, "top_logprobs")):
                _change(one, "token", apply)
                if isinstance(one.get("bytes"), list):
                    one["bytes"] = apply(json.dumps(one["bytes"]))


class NearExchange:
    """One opened request; seals the answers to it."""

    def __init__(self, path: str, request: dict[str, Any], client_key: bytes, blobs: Sequence[str]) -> None:
        self.path = path
        self.request = request
        self._client_key = client_key
        self._blobs = blobs

    def headers(self, cheat: Cheat = Cheat.NONE) -> dict[str, str]:
        """Headers of the answer that belong to the protocol."""
        return {}

    def sealed(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> dict[str, Any]:
        """One document of an answer with its content sealed."""
        out: dict[str, Any] = json.loads(json.dumps(document))
        if cheat is Cheat.PLAINTEXT:
            return out
        key = bindings.crypto_sign_keypair()[0] if cheat is Cheat.SWAPPED_KEY else self._client_key

        def apply(text: str) -> str:
            return self._blobs[0] if cheat is Cheat.REFLECTED and text else seal(key, text)

        if self.path.endswith("/chat/completions"):
            for choice in _listed(out, "choices"):
                _seal_choice(choice, apply)
        for choice in _listed(out, "choices"):
            _change(choice, "text", apply)
        for item in _listed(out, "data"):
            item["embedding"] = apply(json.dumps(item["embedding"]))
        return out

    def whole(self, document: dict[str, Any], cheat: Cheat = Cheat.NONE) -> bytes:
        """The body of a whole answer."""
        return json.dumps(self.sealed(document, cheat)).encode()

    def stream(self, documents: Sequence[dict[str, Any]], cheat: Cheat = Cheat.NONE) -> list[bytes]:
        """The events of a streamed answer, with the end mark."""
        return tampered([*(event(self.sealed(document, cheat)) for document in documents), DONE], cheat)


class NearRecipient:
    """A machine with an Ed25519 signing key, to which requests are sealed."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.public_key, self._secret = bindings.crypto_sign_seed_keypair(seed or bindings.randombytes(32))

    def open(self, path: str, headers: Mapping[str, str], body: bytes) -> NearExchange:
        """Raises: Refused, where the proxy would."""
        named = {name.lower(): value for name, value in headers.items()}
        if named.get("x-signing-algo") != "ed25519" or named.get("x-encryption-version") != "2":
            raise Refused("bad_request")
        if named.get("x-model-pub-key", self.public_key.hex()) != self.public_key.hex():
            raise Refused("invalid_parameter", 421)
        client_key = bytes.fromhex(named.get("x-client-pub-key", ""))
        if len(client_key) != 32 or named.get("x-encrypt-all-fields") != "true":
            raise Refused("bad_request")
        blobs: list[str] = []

        def strict(blob: str) -> str:
            blobs.append(blob)
            return unseal(self._secret, blob)

        def lenient(blob: str) -> str:
            try:
                return strict(blob)
            except Refused:
                return blob

        request = json.loads(body)
        if path.endswith("/chat/completions"):
            _open_chat(request, strict, lenient)
        _strings(request, "prompt" if path.endswith("/completions") else "input", strict)
        return NearExchange(path, request, client_key, blobs)
