"""Provenance: statements, envelopes, reference values, and the images of a compose file."""

import json
from collections.abc import Sequence
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuzz.target import Target
from fuzz.world import NOW
from ollm.attest.certificates import refusing
from ollm.attest.provenance import envelope, identity, images, reference_values, statement, yaml_tree
from ollm.net.provenance import verify_bundle
from ollm.testing.mint import provenance as mint
from ollm.testing.mint.x509 import issue

_VALUES = {
    "issued_at": NOW - 50,
    "expires_at": NOW + 50,
    "nitro": [{"name": "app", "pcr0": "d" * 96}],
    "tdx": [{"name": "app", "mrtd": "a" * 96, "rtmr1": "b" * 96, "compose_hashes": ["c" * 64]}],
    "sev-snp": [{"name": "app", "measurement": "e" * 96}],
}
_COMPOSE = f"""
name: app
services:
  model:
    image: "registry.example/model@sha256:{"1" * 64}"
    environment: [A, "B=two"]
    volumes:
      - /var/run/dstack.sock:/s
    deploy:
      resources: {{reservations: {{devices: [{{driver: nvidia, count: all, capabilities: [gpu]}}]}}}}
  proxy:
    image: 'proxy:1@sha256:{"2" * 64}'
    command: |
      serve --port 80
"""


@cache
def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def _signer() -> str:
    return _key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


@cache
def _statements() -> Sequence[bytes]:
    return mint.statement(reference_values.REFERENCE_VALUES, _VALUES), mint.statement(images.SLSA_PROVENANCE, {"buildDefinition": {}})


def _value_statements() -> Sequence[bytes]:
    """A file of each kind that carries values."""
    registers = {"mrtd": "a" * 96, "rtmr0": "b" * 96, "shape": {"cpus": 8, "memory_mb": 16384}}
    build = {"snp_measurement": "a" * 96, "tdx_measurement": {"rtmr1": "b" * 96, "rtmr2": "c" * 96}}
    return (
        _statements()[0],
        mint.statement(reference_values.TINFOIL_BUILD, build),
        mint.statement(reference_values.TINFOIL_PLATFORMS, {"small": registers}),
        mint.statement(reference_values.TINFOIL_ENDORSEMENTS, {"measurements": {"small": registers}}),
    )


def _values(data: bytes) -> object:
    found = statement.parse(data)
    signed = mint.verified(found.predicate_type, found.predicate, NOW - 50, subjects=found.subjects)
    return reference_values.measured(signed, NOW) if reference_values.carries_values(signed) else None


def _envelopes() -> Sequence[bytes]:
    return (mint.packed(mint.sealed(_statements()[0], _key())),)


def _signed(data: bytes) -> object:
    return envelope.verify(mint.packed(mint.sealed(data, _key())), (_signer(),))


@cache
def _composes() -> Sequence[bytes]:
    return (_COMPOSE.encode(),)


def _app_compose(data: bytes) -> object:
    """The images of a compose file inside an app-compose file."""
    text = data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
    found = images.read(json.dumps({"runner": "docker-compose", "docker_compose_file": text}))
    images.check_pinned(found)
    return found


def _app_composes() -> Sequence[bytes]:
    return (json.dumps({"runner": "docker-compose", "docker_compose_file": _COMPOSE, "allowed_envs": ["A"]}).encode(),)


@cache
def _certificates() -> Sequence[bytes]:
    claims = [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}"), _utf8(text)), False)
        for number, text in mint.extensions().items()
    ]
    return (issue("builder", None, start=NOW - 600, end=NOW + 600, extensions=claims).der,)


def _utf8(text: str) -> bytes:
    return bytes((0x0C, len(text))) + text.encode() if len(text) < 128 else bytes((0x0C, 0x81, len(text))) + text.encode()


def _certified(data: bytes) -> object:
    with refusing("fuzz.certificate", "no certificate", "one"):
        certificate = x509.load_der_x509_certificate(data)
    return identity.certified_build(certificate)


@cache
def _sigstore() -> tuple[bytes, Sequence[bytes]]:
    """A trust root, and a bundle of each generation under it."""
    service, payload = mint.Sigstore(NOW), _statements()[1]
    return mint.packed(service.trust_root()), (mint.packed(service.bundle(payload, NOW)), mint.packed(service.bundle_v2(payload, NOW)))


TARGETS = (
    Target("sigstore-bundle", lambda data: verify_bundle(data, _sigstore()[0]), lambda: _sigstore()[1], text=True),
    Target("statement", statement.parse, _statements, text=True),
    Target("reference-values", _values, _value_statements, text=True),
    Target("dsse-envelope", lambda data: envelope.verify(data, (_signer(),)), _envelopes, text=True),
    Target("dsse-statement-signed", _signed, lambda: _statements()[:1], text=True),
    Target("build-certificate", _certified, _certificates),
    Target("yaml", lambda data: yaml_tree.parse(data.decode("utf-8", "surrogateescape"), check="fuzz.yaml"), _composes, text=True),
    Target("compose-images", _app_compose, _composes, text=True),
    Target("app-compose-images", lambda data: images.read(data.decode("utf-8", "surrogateescape")), _app_composes, text=True),
)
