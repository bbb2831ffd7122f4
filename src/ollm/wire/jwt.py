"""A caller's token: a JWT (RFC 7519) in JWS compact form (RFC 7515 §3.1), read so that it has one spelling, and judged as RFC 8725 wants it.

    BASE64URL(header) . BASE64URL(claims) . BASE64URL(signature)

The header says which of the issuer's keys and algorithms were used, and nothing more is believed of it: where it brings a key or a place to
fetch one (`jwk`, `jku`, `x5u`, `x5c`), that is not looked at; what demands more than we do (`crit`) is refused. Nothing here reads a clock:
times are compared with `now`, in Unix seconds.
"""

import math
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec

from ollm.errors import TokenRefused, WireError
from ollm.wire.jwk import ALGORITHMS, MAX_KEY_ID, PublicKey, decode_base64url
from ollm.wire.strict_json import parse_object

MAX_TOKEN = 16 * 1024  # characters
LEEWAY = 30  # seconds that clocks may differ
_MAX_NAME = 255  # characters of `iss` and `sub`: OpenID Connect Core §2 for sub
_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")  # RFC 7519 §5.1, RFC 9068 §2.1; ID tokens say JWT or nothing
_MOST = 2**53  # of a NumericDate: what every JSON reader keeps exactly
_JWS = jwt.PyJWS(algorithms=sorted(ALGORITHMS))

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Token(msgspec.Struct, frozen=True):
    """A token taken apart. Nothing in it is verified before `verify`."""

    compact: str
    algorithm: str
    key_id: str
    issuer: str
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return "<token>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Wanted(msgspec.Struct, frozen=True):
    """What the claims of a token have to be."""

    audience: str
    max_seconds: int  # from iat to exp
    claims: Mapping[str, tuple[str | int | bool, ...]]  # name → the values of which it must have one


def is_token(text: str) -> bool:
    """Whether `text` has the form of a JWT: three parts, the first an encoded JSON object."""
    return text.startswith("eyJ") and text.count(".") == 2


def parse(compact: str) -> Token:
    """Take a token apart. Raises: TokenRefused."""
    if len(compact) > MAX_TOKEN:
        raise TokenRefused("size")
    segments = compact.split(".")
    if len(segments) != 3:
        raise TokenRefused("form")
    header, claims = _members(segments[0]), _members(segments[1])
    if not decode_base64url(segments[2]):
        raise TokenRefused("form")
    algorithm, key_id, kind, issuer = header.get("alg"), header.get("kid"), header.get("typ"), claims.get("iss")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("algorithm")
    if "crit" in header or "b64" in header:
        raise TokenRefused("crit")
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise TokenRefused("type")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID:
        raise TokenRefused("key id")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= _MAX_NAME:
        raise TokenRefused("issuer")
    return Token(compact, algorithm, key_id, issuer, claims)


def verify(token: Token, key: PublicKey) -> None:
    """`key` signed `token` by the algorithm that it names, which the caller has judged. Raises: TokenRefused."""
    try:
        _JWS.decode_complete(token.compact, key, algorithms=[token.algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        raise TokenRefused("signature") from None


def judge(token: Token, wanted: Wanted, now: int) -> str:
    """What the claims of a verified token say is what is `wanted` at `now`; returns its subject. Raises: TokenRefused."""
    claims = token.claims
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    begins = _time(claims, "nbf") if "nbf" in claims else issued
    if expires <= now - LEEWAY:
        raise TokenRefused("exp")
    if issued > now + LEEWAY:
        raise TokenRefused("iat")
    if begins > now + LEEWAY:
        raise TokenRefused("nbf")
    if not 0 < expires - issued <= wanted.max_seconds:
        raise TokenRefused("lifetime")
    if not has_audience(token, wanted.audience):
        raise TokenRefused("audience")
    if "cnf" in claims:  # bound to a key that the client would have to show (RFC 7800): who can't check that must not take it for less
        raise TokenRefused("binding")
    for name, accepted in wanted.claims.items():
        if not any(_same(value, each) for value in values(token, name) for each in accepted):
            raise TokenRefused("claim")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_NAME:
        raise TokenRefused("subject")
    return subject


def has_audience(token: Token, audience: str) -> bool:
    """Whether the token is meant for `audience` (RFC 7519 §4.1.3)."""
    said = token.claims.get("aud")
    return said == audience if isinstance(said, str) else isinstance(said, list) and audience in said


def values(token: Token, name: str) -> list[Any]:
    """What the claim `name` holds: one value, the elements of an array, the words of a scope (RFC 8693 §4.2)."""
    value = token.claims.get(name)
    if isinstance(value, list):
        return value
    if name == "scope" and isinstance(value, str):
        return value.split(" ")
    return [] if value is None else [value]


def _same(value: object, wanted: str | int | bool) -> bool:
    """Equal, and of one type: JSON's true is not 1."""
    return type(value) is type(wanted) and value == wanted


def _members(segment: str) -> Mapping[str, Any]:
    data = decode_base64url(segment)
    if data is None:
        raise TokenRefused("form")
    try:
        parse_object(data)  # one reading: no member twice, at any depth
        return _decode(data)
    except (WireError, msgspec.MsgspecError, RecursionError):
        raise TokenRefused("form") from None


def _time(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 §2)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= _MOST:
        raise TokenRefused(name)
    return value
