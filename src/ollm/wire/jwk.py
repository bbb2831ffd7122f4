"""Public keys of a token issuer: a JWK set (RFC 7517 §5), and which algorithms each key may be used with.

    {"keys": [{"kty": "RSA", "kid": "2026-10", "use": "sig", "n": …, "e": "AQAB"}, {"kty": "EC", "crv": "P-256", …}, …]}

Which algorithm a key serves follows from its type (RFC 7518 §3.1, RFC 8037 §3.1), narrowed by its own `alg`; never from the token. Keys
of other types or for other uses are passed over, as RFC 7517 §5 wants it; symmetric ones are such: nobody publishes a secret. A set with
a key of ours that is malformed is refused.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ollm.errors import WireError
from ollm.wire.strict_json import parse_object

MAX_KEY_SET = 256 * 1024  # bytes; large issuers publish some 15 KB
MAX_KEY_ID = 256  # characters
_MAX_KEYS = 256
_RSA_BITS = range(2048, 8193)  # RFC 7518 §3.3 wants 2048 at least; above, verification takes milliseconds
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Mapping[str, tuple[ec.EllipticCurve, int, str]] = {  # RFC 7518 §6.2.1: curve, bytes of a coordinate, its one algorithm
    "P-256": (ec.SECP256R1(), 32, "ES256"),
    "P-384": (ec.SECP384R1(), 48, "ES384"),
    "P-521": (ec.SECP521R1(), 66, "ES512"),
}
ALGORITHMS = frozenset({*_RSA, *(algorithm for _, _, algorithm in _CURVES.values()), "EdDSA"})  # asymmetric ones alone: no HS*, no none

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Jwk(msgspec.Struct, frozen=True):
    """A public key and the algorithms that it may verify."""

    key_id: str
    algorithms: frozenset[str]
    public: PublicKey


class KeySet:
    """The keys of one set."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[Jwk, ...]) -> None:
        self._keys = keys

    def find(self, key_id: str, algorithm: str) -> PublicKey | None:
        """The one key of this name for `algorithm`; None where there is none, or more than one."""
        found = [key.public for key in self._keys if key.key_id == key_id and algorithm in key.algorithms]
        return found[0] if len(found) == 1 else None

    def __len__(self) -> int:
        return len(self._keys)


def parse_key_set(data: bytes) -> KeySet:
    """The set in `data`. Raises: WireError."""
    if len(data) > MAX_KEY_SET:
        raise WireError("the key set is too large")
    members = parse_object(data)
    try:
        keys = msgspec.json.decode(members.get("keys", msgspec.Raw(b"null")), type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        raise WireError("the key set has no list of keys") from None
    if len(keys) > _MAX_KEYS:
        raise WireError("the key set has too many keys")
    return KeySet(tuple(key for each in keys if (key := _key(each)) is not None))


def decode_base64url(text: object) -> bytes | None:
    """The bytes of unpadded base64url (RFC 7515 §2), or None for any other spelling, stray bits in the last character included."""
    if not isinstance(text, str) or not text.isascii():
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text else None


def _key(members: dict[str, Any]) -> Jwk | None:
    """The key, or None where it isn't one for signatures of ours."""
    key_id, operations = members.get("kid"), members.get("key_ops")
    if members.get("use", "sig") != "sig" or (operations is not None and (not isinstance(operations, list) or "verify" not in operations)):
        return None
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID:
        return None  # no token could name it
    match members.get("kty"), members.get("crv"):
        case "RSA", _:
            public, algorithms = _rsa(members)
        case "EC", ("P-256" | "P-384" | "P-521") as curve:
            public, algorithms = _elliptic(members, curve)
        case "OKP", "Ed25519":
            public, algorithms = _edwards(members)
        case _:
            return None
    if "d" in members:
        raise WireError("the key set has a private key in it: nothing that it signed can be believed")
    own = members.get("alg")
    return Jwk(key_id, algorithms if own is None else algorithms & {own if isinstance(own, str) else ""}, public)


def _rsa(members: dict[str, Any]) -> tuple[PublicKey, frozenset[str]]:
    modulus, exponent = _number(members.get("n")), _number(members.get("e"))
    if modulus.bit_length() not in _RSA_BITS:
        raise WireError("the key set has an RSA key of another size than 2048 to 8192 bits")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key(), _RSA
    except ValueError:
        raise WireError("the key set has an RSA key that is none") from None


def _elliptic(members: dict[str, Any], name: str) -> tuple[PublicKey, frozenset[str]]:
    curve, size, algorithm = _CURVES[name]
    x, y = decode_base64url(members.get("x")), decode_base64url(members.get("y"))
    if x is None or y is None or len(x) != size or len(y) != size:
        raise WireError("the key set has a key with a coordinate in another spelling")
    try:
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
        return numbers.public_key(), frozenset({algorithm})
    except ValueError:
        raise WireError("the key set has a key that is no point of its curve") from None


def _edwards(members: dict[str, Any]) -> tuple[PublicKey, frozenset[str]]:
    x = decode_base64url(members.get("x"))
    if x is None or len(x) != 32:
        raise WireError("the key set has an Ed25519 key that is none")
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(x), frozenset({"EdDSA"})
    except ValueError:
        raise WireError("the key set has an Ed25519 key that is none") from None


def _number(text: object) -> int:
    data = decode_base64url(text)
    if not data:
        raise WireError("the key set has a number in another spelling")
    return int.from_bytes(data, "big")
