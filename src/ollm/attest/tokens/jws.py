"""A token in JWS compact form (RFC 7515 §3.1), read so that it has one spelling, and verified with one algorithm, ES384.

    BASE64URL(header) . BASE64URL(payload) . BASE64URL(signature)

A header says how to verify the very token that carries it, so it may say two things only: `alg`, which must be ours, and `kid`, which
picks among keys that we already have. Members that bring a key or a place to fetch one (`jwk`, `jku`, `x5u`, `x5c`), that change what
is signed (`b64`) or demand what we don't do (`crit`) are refused, not ignored (RFC 8725 §3.1, §3.10).

No clock is read here: PyJWT verifies the signature only, and what a claim of time means is judged in `genuine`.
"""

import base64
import binascii
import hashlib
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest import strict_json
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

MAX_TOKEN = 16 * 1024  # characters; NVIDIA's longest have 3,000
ALGORITHM = "ES384"
_SIGNATURE = 96  # bytes: r and s of P-384 (RFC 7518 §3.4)
_HEADER_MEMBERS = {"alg", "kid", "typ"}
_MAX_KEY_ID = 256
_FORMAT = "nras.format"
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])


class Token(msgspec.Struct, frozen=True):
    """A token taken apart. Nothing in it is verified before `verify`."""

    name: str  # for people: overall, GPU-0
    compact: str
    key_id: str
    claims: dict[str, Any]

    @property
    def identity(self) -> Hex32:
        """SHA-256 of what is signed. The signature is left out: ECDSA's s has two values for one signature."""
        return Hex32(hashlib.sha256(self.compact.rpartition(".")[0].encode()).hexdigest())

    @property
    def digest(self) -> str:
        """SHA-256 of the compact form, hex: how a detached token is named by the one that vouches for it (RFC 9711 §4.2.18.2)."""
        return hashlib.sha256(self.compact.encode()).hexdigest()


def parse(compact: str, name: str) -> Token:
    """Take a token apart. Raises: EvidenceRefused with nras.format or, for what its header says, nras.algorithm."""
    if len(compact) > MAX_TOKEN:
        raise EvidenceRefused(_FORMAT, f"token {name} of {len(compact)} characters", f"at most {MAX_TOKEN}")
    segments = compact.split(".")
    if len(segments) != 3:
        raise EvidenceRefused(_FORMAT, f"token {name} of {len(segments)} segments", "header, payload and signature")
    # The header is judged first, so that an unsigned token is refused for being unsigned.
    key_id = _key_id(_members(_decoded(segments[0], name), name), name)
    if len(_decoded(segments[2], name)) != _SIGNATURE:
        raise EvidenceRefused(_FORMAT, f"token {name} with a signature of another size", f"{_SIGNATURE} bytes")
    return Token(name, compact, key_id, _members(_decoded(segments[1], name), name))


def verify(token: Token, key: ec.EllipticCurvePublicKey) -> None:
    """`key` signed `token`. Raises: EvidenceRefused with nras.signature."""
    try:
        _JWS.decode_complete(token.compact, key, algorithms=[ALGORITHM])
    except jwt.PyJWTError:
        raise EvidenceRefused("nras.signature", f"token {token.name} with another signature", f"one by key {token.key_id[:80]!a}") from None


def decode_base64url(text: str) -> bytes | None:
    """The bytes of unpadded base64url (RFC 7515 §2), or None for any other spelling, stray bits in the last character included."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text else None


def _decoded(segment: str, name: str) -> bytes:
    data = decode_base64url(segment)
    if data is None:
        raise EvidenceRefused(_FORMAT, f"token {name} with a segment in another spelling", "base64url without padding")
    return data


def _members(data: bytes, name: str) -> dict[str, Any]:
    value = strict_json.parse(data, limit=MAX_TOKEN, check=_FORMAT)
    if not isinstance(value, dict):
        raise EvidenceRefused(_FORMAT, f"token {name} with a part that is no object", "JSON objects")
    return value


def _key_id(header: dict[str, Any], name: str) -> str:
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm != ALGORITHM:
        raise EvidenceRefused("nras.algorithm", f"token {name} of algorithm {str(algorithm)[:40]!a}", ALGORITHM)
    unknown = sorted(header.keys() - _HEADER_MEMBERS)
    if unknown:
        raise EvidenceRefused("nras.algorithm", f"token {name} with {unknown[0][:40]!a} in its header", "alg and kid only")
    if header.get("typ", "JWT") != "JWT":
        raise EvidenceRefused("nras.algorithm", f"token {name} of another type", "JWT")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_KEY_ID:
        raise EvidenceRefused("nras.algorithm", f"token {name} without the name of its key", "a kid")
    return key_id
