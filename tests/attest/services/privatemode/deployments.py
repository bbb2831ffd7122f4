"""Deployments of Privatemode on both kinds of hardware, an agreement with each, and one place to bend every part of what they say."""

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.privatemode import mesh
from ollm.attest.services.question import Question, Verdict
from ollm.seal.secret_exchange import SecretExchange
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.sim.reference import policy as admitting
from ollm.testing.mint.contrast import SERVICE_NAME, Deployment, SnpCoordinator, TdxCoordinator
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from ollm.testing.mint.x509 import new_key
from ollm.testing.sealing.privatemode import SecretService
from ollm.values.hexes import Hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy
from tests.sim.hardware import NOW, FrozenClock

NONCE = Hex32("a5" * 32)
DEMAND = Demand(shapes=("privatemode",), channel=False, seal=True)


@cache
def machine() -> SimulatedMachine:
    return SimulatedMachine(create_pki(NOW), FrozenClock())


@cache
def chip(product: str = "Genoa") -> SnpMachine:
    return SnpMachine(create_snp_pki(product, NOW), NOW)


@cache
def deployment(platform: str = "sev-snp") -> Deployment:
    return Deployment(SnpCoordinator(chip()) if platform == "sev-snp" else TdxCoordinator(machine()), NOW)


@cache
def agreement() -> SecretExchange:
    return SecretExchange()


@cache
def _service_key() -> Any:
    return new_key()


def agreed(of: Deployment, *names: str, **changes: Any) -> dict[str, bytes]:
    """An agreement with the secret service of `of`, which is certified for `names`; `changes` are members of its answer, in bytes."""
    service = SecretService(_service_key())
    public_key = agreement().public_key
    encapsulated, signature = service.exchange(public_key)
    certificate = of.mesh.certify(*(names or ("root", SERVICE_NAME)), key=_service_key()).certificate.public_bytes(Encoding.DER)
    answered = {"EncapsulatedKey": encapsulated, "Signature": signature, "MeshCert": certificate, **changes}
    return {
        mesh.ASKED: json.dumps({"PublicKey": base64.b64encode(public_key).decode()}).encode(),
        mesh.ANSWERED: json.dumps({name: base64.b64encode(value).decode() for name, value in answered.items()}).encode(),
    }


def evidence(of: Deployment | None = None, report: bytes | None = None, documents: Mapping[str, bytes] = {}) -> ServiceEvidence:
    """What was fetched of a deployment; `documents` replace the agreement's."""
    chosen = of or deployment()
    found = {"report": report or chosen.answer(NONCE), **agreed(chosen), **documents}
    return ServiceEvidence(documents=found, nonce=NONCE, host="api.example", peer_spki_sha256=None)


def policy(of: Deployment | None = None, **service: Any) -> AttestationPolicy:
    """A policy that admits the deployment; `service` changes the table of that name."""
    chosen = of or deployment()
    accepted = ServicePolicy(custody=("app_kms",), manifest_sha256=chosen.manifest_sha256, secret_service=SERVICE_NAME, sealed_to_application=True)
    table = msgspec.structs.replace(accepted, **service)
    basic = AttestationPolicy(name="p", level=Level.SIMULATED, require_event_log=False, require_compose=False, service=table)
    if isinstance(chosen.coordinator, SnpCoordinator):
        return msgspec.structs.replace(basic, cpu=("sev-snp",), snp=chosen.coordinator.machine.policy())
    return msgspec.structs.replace(basic, tdx=admitting((machine(),)).tdx)


def judged(found: ServiceEvidence, under: AttestationPolicy, of: Deployment | None = None, *, now: int = NOW) -> Verdict:
    """The verdict, with true collateral."""
    cpu = (of or deployment()).coordinator.collateral()
    return door.appraise(Question(found, (MachineCollateral(cpu=cpu),), (), under, now, DEMAND))
