"""The keys of NVIDIA's attestation service: a JWK set (RFC 7517) with certificates.

What NVIDIA serves at /.well-known/jwks.json (seen from April to June 2026: 32 to 36 keys, replaced every few hours):

    {"keys": [{"kty": "EC", "crv": "P-384", "kid": "nv-eat-kid-prod-<time>-<uuid>", "x": …, "y": …, "x5c": [leaf, intermediate]}, …]}

There is no `use` and no `alg`. A leaf certificate lives for two days, and both of NVIDIA's SDKs take the key out of it, so a key
without one is refused here: its end bounds how long a stored set can be used. The intermediate was issued by "NVIDIA Attestation
Service CA 001", which is in no set and published nowhere that we know of: it can't be pinned, so the chain proves consistency and
periods, and **authenticity of the set rests on the TLS connection to the pinned origin** over which `net` fetched it.

A simulated set is admitted by more than its issuer's name: its chain must end in the root whose SHA-256 the policy pins, and its leaf
carries the marker of simulated hardware, which on the vendor's path is refused.
"""

import base64
import binascii
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest import strict_json
from ollm.attest.certificates import (
    Period,
    certificate_period,
    check_authority,
    check_issued,
    check_marker,
    check_periods,
    load_certificate,
    refusing,
)
from ollm.attest.tokens.jws import ALGORITHM, decode_base64url
from ollm.errors import EvidenceRefused
from ollm.values.policy import NvidiaPolicy

MAX_KEY_SET = 1024 * 1024  # NVIDIA's have 80 to 91 KB
_MAX_KEYS = 1024
_MAX_CHAIN = 4
_MAX_CERTIFICATE = 8 * 1024  # characters of base64
_COORDINATE = 48  # bytes on P-384

_FORMAT = "nras.key_set"


class VendorService:
    """NVIDIA's attestation service. It takes no argument, so no configuration can replace it."""

    issuer = "https://nras.attestation.nvidia.com"
    simulated = False

    def check_root(self, chain: Sequence[x509.Certificate]) -> None:
        """NVIDIA's root is not published: nothing to compare with."""


class SimulatedService:
    """The attestation service of one installation's simulated hardware, named by the SHA-256 of its root."""

    issuer = "https://nras.simulated.invalid"
    simulated = True

    def __init__(self, root_sha256: str) -> None:
        self.root_sha256 = root_sha256

    def check_root(self, chain: Sequence[x509.Certificate]) -> None:
        """The last certificate of `chain` is the pinned root. Raises: EvidenceRefused."""
        digest = chain[-1].fingerprint(hashes.SHA256()).hex()
        if digest != self.root_sha256:
            raise EvidenceRefused("nras.key_chain", f"root with SHA-256 {digest}", self.root_sha256)


def service_of(policy: NvidiaPolicy) -> VendorService | SimulatedService:
    """The one service whose tokens `policy` admits."""
    return VendorService() if policy.simulated_root_sha256 is None else SimulatedService(policy.simulated_root_sha256)


class SigningKey(msgspec.Struct, frozen=True):
    """A key of the set and what vouches for it."""

    public: ec.EllipticCurvePublicKey
    chain: tuple[x509.Certificate, ...]  # leaf first

    @property
    def periods(self) -> tuple[Period, ...]:
        return tuple(certificate_period(certificate, f"certificate {index} of the signing key") for index, certificate in enumerate(self.chain))


def parse_key_set(jwks: bytes) -> dict[str, dict[str, Any]]:
    """The members of each key by its `kid`. Raises: EvidenceRefused with nras.key_set."""
    document = strict_json.parse(jwks, limit=MAX_KEY_SET, check=_FORMAT)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise EvidenceRefused(_FORMAT, "a document without a list of keys", f'{{"keys": […]}} with at most {_MAX_KEYS} of them')
    found: dict[str, dict[str, Any]] = {}
    for key in keys:
        key_id = key.get("kid") if isinstance(key, dict) else None
        if not isinstance(key_id, str) or key_id in found:
            raise EvidenceRefused(_FORMAT, "a key without a name of its own", "a kid for each key, each once")
        found[key_id] = key
    return found


def signing_key(keys: dict[str, dict[str, Any]], key_id: str) -> SigningKey:
    """The key named `key_id`. Raises: EvidenceRefused with nras.key when there is none, or with nras.key_set when it is malformed."""
    if key_id not in keys:
        raise EvidenceRefused("nras.key", f"key {key_id[:80]!a}", f"one of the {len(keys)} keys that the service published")
    key = keys[key_id]
    if (key.get("kty"), key.get("crv"), key.get("use", "sig"), key.get("alg", ALGORITHM)) != ("EC", "P-384", "sig", ALGORITHM) or "d" in key:
        raise EvidenceRefused(_FORMAT, f"key {key_id[:80]!a} of another kind", "a public key on P-384 for signatures")
    x, y = _coordinate(key.get("x")), _coordinate(key.get("y"))
    with refusing(_FORMAT, f"key {key_id[:80]!a} that is no point of P-384", "one that is"):
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()
    return SigningKey(public, _chain(key.get("x5c")))


def check_chain(key: SigningKey, service: VendorService | SimulatedService, now: int) -> None:
    """The key is that of its certificate, issued by the next one up, all valid at `now`, up to the root that the service has.

    Raises: EvidenceRefused with platform.marker or nras.key_chain.
    """
    check = "nras.key_chain"
    check_marker(key.chain[0], simulated=service.simulated)
    with refusing(check, "a certificate with an unreadable key", "a key on P-384"):
        certified = key.chain[0].public_key()
    if certified != key.public:
        raise EvidenceRefused(check, "another key than in its certificate", "the same")
    for below, (certificate, issuer) in enumerate(pairwise(key.chain)):
        check_authority(issuer, below, check, "issuer of the signing certificate")
        check_issued(certificate, issuer, check, "signing certificate")
    service.check_root(key.chain)
    check_periods(key.periods, now, check)


def _coordinate(text: object) -> int:
    data = decode_base64url(text) if isinstance(text, str) else None
    if data is None or len(data) != _COORDINATE:
        raise EvidenceRefused(_FORMAT, "a coordinate in another spelling", f"{_COORDINATE} bytes in base64url")
    return int.from_bytes(data, "big")


def _chain(entries: object) -> tuple[x509.Certificate, ...]:
    if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_CHAIN:
        raise EvidenceRefused(_FORMAT, "a key without certificates", f"1 to {_MAX_CHAIN} in x5c")
    return tuple(_certificate(entry) for entry in entries)


def _certificate(entry: object) -> x509.Certificate:
    if not isinstance(entry, str) or len(entry) > _MAX_CERTIFICATE:
        raise EvidenceRefused(_FORMAT, "a certificate that is no text", f"base64 of at most {_MAX_CERTIFICATE} characters")
    try:
        der = base64.b64decode(entry, validate=True)
    except (ValueError, binascii.Error):
        raise EvidenceRefused(_FORMAT, "a certificate in another spelling", "base64 of its DER") from None
    return load_certificate(der, _FORMAT)
