"""An attestation service shaped like NVIDIA's: a key with its certificates, and bundles of tokens in the true format.

    root ── intermediate ── signing certificate (marked as simulated) ── overall token, one token for each device

Every defect that a verifier must notice can be had by bending claims, header, compact token or bundle before or after it is signed.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ollm.testing.mint.x509 import DAY, Authority, create_root, issue

ISSUER = "https://nras.simulated.invalid"
KEY_ID = "sim-eat-kid-1"
LIFETIME = 3600

Claims = dict[str, Any]
Bend = Callable[[Claims], object]  # changes claims in place


class NrasService(msgspec.Struct, frozen=True):
    """A simulated attestation service."""

    root: Authority
    intermediate: Authority
    signing: Authority
    key_id: str = KEY_ID

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the certificates, leaf first. NVIDIA's set stops at the intermediate; a simulated one must reach its root."""
        return self.signing.der, self.intermediate.der, self.root.der

    def jwk(self, **changes: object) -> Claims:
        """The signing key as a JWK."""
        numbers = self.signing.key.public_key().public_numbers()
        point = {"x": _encode(numbers.x.to_bytes(48, "big")), "y": _encode(numbers.y.to_bytes(48, "big"))}
        certificates = [base64.b64encode(der).decode() for der in self.chain]
        return {"kty": "EC", "crv": "P-384", "kid": self.key_id, "x5c": certificates, **point, **changes}

    def jwks(self, **changes: object) -> bytes:
        """The service's key set, with another key before the one that signs."""
        return json.dumps({"keys": [{**self.jwk(), "kid": "sim-eat-kid-0"}, self.jwk(**changes)]}).encode()

    def token(self, claims: Claims, **header: object) -> str:
        """`claims` signed with ES384."""
        signing_input = f"{encode_json({'kid': self.key_id, 'alg': 'ES384', **header})}.{encode_json(claims)}"
        r, s = decode_dss_signature(self.signing.key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA384())))
        return f"{signing_input}.{_encode(r.to_bytes(48, 'big') + s.to_bytes(48, 'big'))}"

    def bundle(
        self,
        now: int,
        nonce: bytes,
        *,
        gpus: int = 2,
        switches: int = 0,
        version: str = "3.0",
        device: Bend | None = None,
        overall: Bend | None = None,
    ) -> bytes:
        """The bundle of a machine. `device` bends the claims of the last device, `overall` those of the overall token."""
        claims = [gpu_claims(index, version) for index in range(gpus)] + [switch_claims(index, version) for index in range(switches)]
        names = [f"GPU-{index}" for index in range(gpus)] + [f"SWITCH-{index}" for index in range(switches)]
        for members in claims:
            members.update(common_claims(now, nonce))
        if device is not None:
            device(claims[-1])
        tokens = dict(zip(names, (self.token(members) for members in claims), strict=True))
        return compose(self.overall(now, nonce, tokens, version=version, bend=overall), tokens)

    def overall(self, now: int, nonce: bytes, tokens: dict[str, str], *, version: str = "3.0", bend: Bend | None = None) -> str:
        """The overall token about `tokens`."""
        claims = {
            "sub": "NVIDIA-PLATFORM-ATTESTATION",
            "x-nvidia-ver": version,
            "x-nvidia-overall-att-result": True,
            "submods": {name: ["DIGEST", ["SHA-256", hashlib.sha256(token.encode()).hexdigest()]] for name, token in tokens.items()},
            **common_claims(now, nonce),
        }
        if bend is not None:
            bend(claims)
        return self.token(claims)


def create_service(
    now: int, *, root: Authority | None = None, marked: bool = True, start: int | None = None, lifetime: int = 2 * DAY, key_id: str = KEY_ID
) -> NrasService:
    """A service whose signing certificate began at `start` (a minute before `now`) and lives for `lifetime` seconds."""
    root = root or create_root("SIMULATED Attestation Service CA", now)
    intermediate = issue("SIMULATED Attestation Service Intermediate", root, start=now - DAY, end=now + 1000 * DAY)
    begun = now - 60 if start is None else start
    signing = issue("SIMULATED Attestation Service", intermediate, start=begun, end=begun + lifetime, authority=False, marked=marked)
    return NrasService(root, intermediate, signing, key_id)


def common_claims(now: int, nonce: bytes) -> Claims:
    """What every token says."""
    return {"iss": ISSUER, "iat": now, "nbf": now, "exp": now + LIFETIME, "eat_nonce": nonce.hex(), "jti": f"sim-{now}"}


def gpu_claims(index: int, version: str = "3.0") -> Claims:
    """What the service says of a GPU in order."""
    flags = ["arch-check", *_REPORT, *(f"{rim}-rim-{step}" for rim in ("driver", "vbios") for step in _RIM), "vbios-index-no-conflict"]
    return {
        **_device_claims("gpu", flags, ("driver-rim", "vbios-rim"), version),
        "hwmodel": "GH100 A01 GSP BROM" if version == "3.0" else "GH100",
        "ueid": str(0x5000_0000 + index),
        "oemid": "5703",
        "x-nvidia-gpu-driver-version": "570.172.08",
        "x-nvidia-gpu-vbios-version": "96.00.CF.00.02",
    }


def switch_claims(index: int, version: str = "3.0") -> Claims:
    """What the service says of a switch in order."""
    flags = ["arch-check", *_REPORT, *(f"bios-rim-{step}" for step in _RIM)]
    return {
        **_device_claims("switch", flags, ("bios-rim",), version),
        "hwmodel": "LS_10 A01 FSP BROM",
        "ueid": str(0x6000_0000 + index),
        "oemid": None,
        "x-nvidia-switch-bios-version": "96.10.55.00.01",
    }


_REPORT = ("attestation-report-parsed", "attestation-report-nonce-match", "attestation-report-signature-verified")
_RIM = ("fetched", "schema-validated", "signature-verified", "measurements-available")
_GOOD_CHAIN = {
    "x-nvidia-cert-status": "valid",
    "x-nvidia-cert-ocsp-status": "good",
    "x-nvidia-cert-expiration-date": "9999-12-31T23:59:59Z",
    "x-nvidia-cert-revocation-reason": None,
}


def _device_claims(kind: str, flags: Sequence[str], rims: Sequence[str], version: str) -> Claims:
    claims: Claims = {f"x-nvidia-{kind}-{name}": True for name in flags}
    chains = ("attestation-report-cert-chain", *(f"{rim}-cert-chain" for rim in rims))
    if version == "2.0":
        claims |= {
            f"x-nvidia-{kind}-attestation-report-cert-chain-validated": True,
            **{f"x-nvidia-{kind}-{rim}-cert-validated": True for rim in rims},
        }
    else:
        claims |= {
            f"x-nvidia-{kind}-attestation-report-cert-chain-fwid-match": True,
            **{f"x-nvidia-{kind}-{rim}-version-match": True for rim in rims},
        }
        claims |= {f"x-nvidia-{kind}-{name}": dict(_GOOD_CHAIN) for name in chains}
    return {**claims, "measres": "success", "secboot": True, "dbgstat": "disabled", "x-nvidia-attestation-warning": None}


def compose(overall: str, tokens: dict[str, str]) -> bytes:
    """The bundle of an overall token and the devices' tokens."""
    return json.dumps([["JWT", overall], tokens], separators=(",", ":")).encode()


def unsigned_token(claims: Claims) -> str:
    """`claims` as NVIDIA's own tools write them when they verify locally."""
    return f"{encode_json({'alg': 'none'})}.{encode_json(claims)}."


def hmac_token(claims: Claims, secret: bytes) -> str:
    """`claims` under a shared secret, which NVIDIA's SDK for Python does with the word "secret"."""
    signing_input = f"{encode_json({'alg': 'HS256', 'typ': 'JWT'})}.{encode_json(claims)}"
    return f"{signing_input}.{_encode(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def encode_json(value: object) -> str:
    """A segment of a token."""
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
