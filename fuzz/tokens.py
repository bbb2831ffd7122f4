"""NVIDIA's attestation service: tokens, bundles, keys, and claims damaged before they are signed."""

import base64
import json
from collections.abc import Sequence
from functools import cache

from fuzz.target import Target
from fuzz.world import NOW
from ollm.attest.checks import Trail
from ollm.attest.evidence import NrasCollateral, NrasEvidence
from ollm.attest.tokens import appraise, jws, keys, nras
from ollm.testing.mint.nras import NrasService, compose, create_service
from ollm.testing.mint.nvidia_rim import raw_signature
from ollm.values.policy import NvidiaPolicy

_NONCE = bytes(range(32))


@cache
def _service() -> NrasService:
    return create_service(NOW)


@cache
def _policy() -> NvidiaPolicy:
    return NvidiaPolicy(simulated_root_sha256=_service().root.sha256, accept=("nras",), architectures=("Hopper", "LS10"))


@cache
def _bundles() -> Sequence[bytes]:
    return _service().bundle(NOW, _NONCE), _service().bundle(NOW, _NONCE, gpus=1, switches=1, version="2.0")


@cache
def _key_sets() -> Sequence[bytes]:
    return (_service().jwks(),)


def _appraised(token: bytes, jwks: bytes) -> object:
    evidence, collateral = NrasEvidence(token=token), NrasCollateral(jwks=jwks)
    return appraise.judged_devices(Trail(appraise.plan(_policy())), evidence, collateral, _policy(), NOW, nonce=_NONCE)


def _tokens() -> Sequence[bytes]:
    return [token.compact.encode() for bundle in _bundles() for token in nras.parse(bundle).tokens]


def _claims() -> Sequence[bytes]:
    """The payloads of device tokens."""
    return [base64.urlsafe_b64decode(token.split(b".")[1] + b"==") for token in _tokens()[1:]]


def _signed(data: bytes) -> object:
    """A device token with any payload, signed, and named with its digest by a signed overall token."""
    header = json.dumps({"kid": _service().key_id, "alg": "ES384"}).encode()
    signing_input = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, data))
    signature = base64.urlsafe_b64encode(raw_signature(_service().signing.key, signing_input)).rstrip(b"=")
    tokens = {"GPU-0": (signing_input + b"." + signature).decode()}
    return _appraised(compose(_service().overall(NOW, _NONCE, tokens), tokens), _key_sets()[0])


def _key_set(data: bytes) -> object:
    published = keys.parse_key_set(data)
    return [keys.signing_key(published, key_id) for key_id in published]


_RECORDED = ("nvidia/*detached_eat.json", "nvidia/*jwks*.json")
TARGETS = (
    Target("jws", lambda data: jws.parse(data.decode("utf-8", "surrogateescape"), "token"), _tokens, text=True),
    Target("nras-bundle", nras.parse, _bundles, text=True, recorded=_RECORDED),
    Target("nras-bundle-appraised", lambda data: _appraised(data, _key_sets()[0]), _bundles, text=True, recorded=_RECORDED),
    Target("nras-claims-signed", _signed, lambda: _claims()[:1], text=True, heavy=True),
    Target("nras-keys", _key_set, _key_sets, text=True, recorded=_RECORDED),
    Target("nras-keys-appraised", lambda data: _appraised(_bundles()[0], data), _key_sets, text=True, heavy=True),
)
