"""An issuer of tokens as tests need it: real keys of every type, tokens signed by them, and the key set that it publishes."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.test/"
AUDIENCE = "ollm"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_RSA_KEY = rsa.generate_private_key(65537, 2048)  # one for all tests: making it takes as long as many of them


def private_key(algorithm: str) -> PrivateKey:
    """A key that `algorithm` signs with."""
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    return _RSA_KEY


def jwk(key: PrivateKey, key_id: str, **more: Any) -> dict[str, Any]:
    """The public key as it stands in a set."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        members = json.loads(RSAAlgorithm.to_jwk(public))
    elif isinstance(public, ec.EllipticCurvePublicKey):
        members = json.loads(ECAlgorithm.to_jwk(public))
    else:
        members = json.loads(OKPAlgorithm.to_jwk(public))
    members.pop("key_ops", None)
    return {**members, "kid": key_id, "use": "sig", **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


class Authority:
    """One issuer with one key at a time."""

    def __init__(self, algorithm: str = "ES256", key_id: str = "first") -> None:
        self.algorithm = algorithm
        self.key_id = key_id
        self.key = private_key(algorithm)

    @property
    def jwks(self) -> bytes:
        return key_set(jwk(self.key, self.key_id))

    def claims(self, now: int, **changed: Any) -> dict[str, Any]:
        """Claims that are accepted, with changes; what is None is left out."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "iat": now, "exp": now + 600}
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def token(self, now: int, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token of this issuer, signed."""
        return jwt.encode(self.claims(now, **changed), self.key, algorithm=self.algorithm, headers={"kid": self.key_id, **(header or {})})
