"""Privatemode's answers: the coordinator's document, messages and manifest, the agreement on a secret, and the appraisal of all of it."""

import json
from collections.abc import Sequence
from functools import cache

from fuzz.target import Target
from fuzz.world import NOW, machine
from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.privatemode import document, manifest, mesh, snp, tdx
from ollm.attest.services.privatemode.protobuf import Message
from ollm.attest.services.question import Question
from ollm.seal.secret_exchange import SecretExchange
from ollm.testing.mint import contrast as mint
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki
from ollm.testing.mint.x509 import new_key
from ollm.testing.sealing.privatemode import SecretService
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy

_NONCE = Hex32("a5" * 32)
_DEMAND = Demand(shapes=("privatemode",), channel=False, seal=True)
_CHECK = "privatemode.format"


@cache
def _deployment() -> mint.Deployment:
    return mint.Deployment(mint.SnpCoordinator(SnpMachine(create_pki("Genoa", NOW), NOW)), NOW)


@cache
def _policy() -> AttestationPolicy:
    coordinator = _deployment().coordinator
    assert isinstance(coordinator, mint.SnpCoordinator)
    service = ServicePolicy(
        custody=("app_kms",), manifest_sha256=_deployment().manifest_sha256, secret_service=mint.SERVICE_NAME, sealed_to_application=True
    )
    return AttestationPolicy(
        name="p",
        level=Level.SIMULATED,
        cpu=("sev-snp",),
        snp=coordinator.machine.policy(),
        service=service,
        require_event_log=False,
        require_compose=False,
    )


@cache
def _report() -> bytes:
    return _deployment().answer(_NONCE)


@cache
def _ours() -> SecretExchange:
    return SecretExchange()


@cache
def _asked() -> bytes:
    return json.dumps({"PublicKey": mint.base64_of(_ours().public_key)}).encode()


@cache
def _answered() -> bytes:
    key = new_key()
    encapsulated, signature = SecretService(key).exchange(_ours().public_key)
    certificate = _deployment().mesh.certify("root", mint.SERVICE_NAME, key=key).der
    said = {"EncapsulatedKey": encapsulated, "Signature": signature, "MeshCert": certificate}
    return json.dumps({name: mint.base64_of(value) for name, value in said.items()}).encode()


@cache
def _messages() -> Sequence[bytes]:
    return mint.snp_attestation(SnpMachine(create_pki("Milan", NOW), NOW).report(), b"leaf"), mint.tdx_quote(machine().quote(bytes(64)))


def _evidence(report: bytes, answered: bytes) -> ServiceEvidence:
    documents = {"report": report, mesh.ASKED: _asked(), mesh.ANSWERED: answered}
    return ServiceEvidence(documents=documents, nonce=_NONCE, host="api.example", peer_spki_sha256=None)


def _appraised(report: bytes, answered: bytes) -> Appraisal:
    found = (MachineCollateral(cpu=_deployment().coordinator.collateral()),)
    return door.appraise(Question(_evidence(report, answered), found, (), _policy(), NOW, _DEMAND))[0]


def _admitted(data: bytes) -> None:
    """A manifest against the coordinator's machine."""
    found, cpu = manifest.read(data), document.read(_report()).cpu
    manifest.check_coordinator(found, cpu)
    manifest.check_admitted(found, cpu)


def _message(data: bytes) -> object:
    message = Message(data, _CHECK, "an attestation")
    return tdx.evidence(message) if message.is_number(3) else snp.evidence(message, _CHECK)


TARGETS = (
    Target("privatemode-report", document.read, lambda: [_report()], text=True),
    Target("privatemode-message", _message, _messages),
    Target("privatemode-manifest", _admitted, lambda: [_deployment().manifest], text=True),
    Target("privatemode-agreement", lambda data: mesh.read({mesh.ASKED: _asked(), mesh.ANSWERED: data}), lambda: [_answered()], text=True),
    Target("privatemode-report-appraised", lambda data: _appraised(data, _answered()), lambda: [_report()], text=True, heavy=True),
    Target("privatemode-agreement-appraised", lambda data: _appraised(_report(), data), lambda: [_answered()], text=True, heavy=True),
)
