"""The word of NVIDIA's attestation service about devices: a detached EAT bundle (RFC 9711 §5), read, and tied together by what is signed.

    [["JWT", <overall token>], {"GPU-0": <token>, "GPU-1": <token>, …}]          or SWITCH-0, SWITCH-1, … for switches

The overall token says how the whole went (`x-nvidia-overall-att-result`), for which nonce, and names each device's token by SHA-256 over
its compact form: `"submods": {"GPU-0": ["DIGEST", ["SHA-256", <hex>]], …}`. Every token has its own signature, issuer and times.

What is accepted is the service's word alone. NVIDIA's tools also write bundles of this shape themselves, "locally verified": unsigned,
or with HS256 under the key "secret". Whoever sends such a bundle vouches for himself, so it is no evidence; `jws` refuses it.

`https://nras.simulated.invalid` is the issuer of simulated hardware (RFC 2606: no such host can exist). A policy that pins a simulated
root admits that issuer and no other, a policy that doesn't admits NVIDIA's and no other, and the keys differ in the same way (`keys`).

Sources: NVIDIA Attestation, claims guide (versions 2.0 and 3.0); NVIDIA attestation-sdk, nv_jwt.cpp and claims.cpp.
"""

import hmac
import re

import msgspec

from ollm.attest import strict_json
from ollm.attest.certificates import Period
from ollm.attest.tokens import jws
from ollm.attest.tokens.jws import Token
from ollm.attest.tokens.keys import SimulatedService, VendorService
from ollm.errors import EvidenceRefused

MAX_BUNDLE = 512 * 1024  # bytes; one of eight GPUs has 17 KB
MAX_DEVICES = 64
VERSIONS = ("2.0", "3.0")  # of the claims; NRAS answers with 2.0 under /v3 and with 3.0 under /v4
SUBJECT = "NVIDIA-PLATFORM-ATTESTATION"
_LIFETIME = 2 * 3600  # NVIDIA's tokens live for one hour; a longer life would let an old state of a device pass for its present one
_LEEWAY = 60  # RFC 7519 §4.1.5: for clocks that differ. At the beginning only: an end is an end
_MAX_TIME = 1 << 40  # seconds; what follows is no date
_NAME = re.compile(r"(GPU|SWITCH)-(0|[1-9]\d{0,2})")
_NONCE = re.compile(r"[0-9a-fA-F]{64}")
_FORMAT = "nras.format"


class Bundle(msgspec.Struct, frozen=True):
    """A bundle taken apart; nothing in it is verified yet."""

    overall: Token
    devices: tuple[Token, ...]  # in the order in which they were sent

    @property
    def tokens(self) -> tuple[Token, ...]:
        return (self.overall, *self.devices)


def parse(data: bytes) -> Bundle:
    """Take a bundle apart. Raises: EvidenceRefused with nras.format or nras.algorithm."""
    document = strict_json.parse(data, limit=MAX_BUNDLE, check=_FORMAT)
    match document:
        case [["JWT", str(overall)], dict(devices)]:
            pass
        case _:
            raise EvidenceRefused(_FORMAT, "JSON of another shape", '[["JWT", token], {name: token}]')
    if not 0 < len(devices) <= MAX_DEVICES:
        raise EvidenceRefused(_FORMAT, f"{len(devices)} devices", f"1 to {MAX_DEVICES}")
    return Bundle(jws.parse(overall, "overall"), tuple(_device(name, token) for name, token in devices.items()))


def _device(name: str, token: object) -> Token:
    if not _NAME.fullmatch(name) or not isinstance(token, str):
        raise EvidenceRefused(_FORMAT, f"a device named {name[:40]!a}", "GPU-0, SWITCH-0 and so on, each with a token")
    return jws.parse(token, name)


def kind(token: Token) -> str:
    """gpu or switch: what the name of a device's token, which the overall token signs, says that it is."""
    return "gpu" if token.name.startswith("GPU-") else "switch"


def check_issuer(bundle: Bundle, service: VendorService | SimulatedService) -> None:
    """Every token says that it is by the one service that the policy admits. Raises: EvidenceRefused with nras.issuer.

    Checked before the signature, because it decides whose keys are looked at; the signature then proves it.
    """
    for token in bundle.tokens:
        issuer = token.claims.get("iss")
        if issuer != service.issuer:
            raise EvidenceRefused("nras.issuer", f"token {token.name} by {str(issuer)[:80]!a}", service.issuer)


def periods(bundle: Bundle) -> tuple[Period, ...]:
    """From when until when each token holds. Raises: EvidenceRefused with nras.validity for times that make no sense."""
    return tuple(_period(token) for token in bundle.tokens)


def _period(token: Token) -> Period:
    issued, start, end = (_time(token, name) for name in ("iat", "nbf", "exp"))
    if not (issued < end and start < end and end - min(issued, start) <= _LIFETIME):
        raise EvidenceRefused("nras.validity", f"token {token.name} issued at {issued} until {end}", f"at most {_LIFETIME} seconds")
    return Period(f"token {token.name}", max(issued, start) - _LEEWAY, end)


def _time(token: Token, name: str) -> int:
    value = token.claims.get(name)
    if type(value) is not int or not 0 <= value < _MAX_TIME:
        raise EvidenceRefused("nras.validity", f"token {token.name} without {name}", "iat, nbf and exp in seconds")
    return value


def check_digests(bundle: Bundle) -> None:
    """The overall token names exactly the devices' tokens that were sent, each by its digest. Raises: EvidenceRefused with nras.digests."""
    named = bundle.overall.claims.get("submods")
    if not isinstance(named, dict) or named.keys() != {token.name for token in bundle.devices}:
        names = ", ".join(sorted(named))[:80] if isinstance(named, dict) else "none"
        raise EvidenceRefused("nras.digests", f"tokens of {', '.join(token.name for token in bundle.devices)[:80]}", f"of {names!a}")
    for token in bundle.devices:
        match named[token.name]:
            case ["DIGEST", ["SHA-256", str(digest)]] if hmac.compare_digest(digest.encode(), token.digest.encode()):
                pass
            case _:
                raise EvidenceRefused("nras.digests", f"token {token.name} with SHA-256 {token.digest}", "the digest in the overall token")


def check_nonce(bundle: Bundle, wanted: bytes | None) -> bytes:
    """All tokens are for one nonce of 32 bytes, and for `wanted` unless that is None. Raises: EvidenceRefused with nras.nonce."""
    stated = {token.name: _nonce(token) for token in bundle.tokens}
    expected = stated["overall"] if wanted is None else wanted
    for name, nonce in stated.items():
        if not hmac.compare_digest(nonce, expected):
            raise EvidenceRefused("nras.nonce", f"token {name} for {nonce.hex()}", expected.hex()[:128])
    return expected


def _nonce(token: Token) -> bytes:
    nonce = token.claims.get("eat_nonce")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise EvidenceRefused("nras.nonce", f"token {token.name} without a nonce", "32 bytes in hex")
    return bytes.fromhex(nonce)
