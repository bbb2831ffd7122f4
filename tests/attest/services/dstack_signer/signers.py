"""Signers on simulated machines, made once, and how their reports are judged: real bytes of every kind, and one place to bend each of them."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from ollm.attest.evidence import MachineCollateral, NrasCollateral, NvidiaEvidence
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.question import Question, Verdict
from ollm.errors import EvidenceRefused
from ollm.sim import reference
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import SimulatedPki, create_pki
from ollm.testing.mint import nvidia
from ollm.testing.mint.signer import MODEL, FakeSigner, KmsMachine, LocalMachine, ecdsa, ed25519
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy, ServicePolicy
from tests.sim.hardware import NOW, FrozenClock

NONCE = Hex32("a5" * 32)
SPKI = Hex32("51" * 32)
BEHIND = Hex32("5c" * 32)  # key of the signer's own channel, behind a gateway
ANY = Demand(shapes=("dstack", "near-gateway"))

Bend = Callable[[dict[str, Any]], object]


class _TwoGpus(KmsMachine):
    gpus = 2


@cache
def _pki() -> SimulatedPki:
    return create_pki(NOW)


@cache
def signer(kind: str) -> FakeSigner:
    """A signer on a machine of that kind; all have one root."""
    pki, clock = _pki(), FrozenClock()
    if kind == "gateway":
        return FakeSigner(
            machine=KmsMachine(pki, clock, name="front", build="front-build"), key=ed25519(b"\x08" * 32), model=None, actions=None, ohttp=False
        )
    if kind == "ecdsa":
        return msgspec.structs.replace(signer("genuine"), key=ecdsa(), ohttp=False)
    if kind == "two GPUs":
        hierarchy = nvidia.create(NOW)
        return FakeSigner(machine=_TwoGpus(pki, clock), key=ed25519(), devices=(hierarchy.device(), hierarchy.device()))
    machines: dict[str, type[SimulatedMachine]] = {"genuine": KmsMachine, "another build": KmsMachine, "local keys": LocalMachine}
    build = "another-build" if kind == "another build" else "ollm-sim-1"
    return FakeSigner(machine=machines[kind](pki, clock, build=build), key=ed25519())


def policy(**service: Any) -> AttestationPolicy:
    """What admits the genuine signer; `service` are the policy's demands of the service."""
    return msgspec.structs.replace(reference.policy((signer("genuine").machine,)), service=ServicePolicy(**service))


def behind_gateway(**service: Any) -> AttestationPolicy:
    """What admits it behind the gateway."""
    return policy(gateway_tdx=reference.policy((signer("gateway").machine,)).tdx, **service)


def direct(kind: str = "genuine", bend: Bend = lambda document: None) -> dict[str, Any]:
    """The report of a signer."""
    document = signer(kind).report(NONCE, SPKI)
    bend(document)
    return document


def gateway(bend: Bend = lambda document: None, *, kind: str = "genuine", front: str = "gateway") -> dict[str, Any]:
    """The report of the gateway before a signer."""
    document: dict[str, Any] = {
        "gateway_attestation": signer(front).gateway_report(NONCE, SPKI),
        "model_attestations": [signer(kind).report(NONCE, BEHIND)],
    }
    bend(document)
    return document


def evidence(document: dict[str, Any], **members: Any) -> ServiceEvidence:
    """`document` as it was fetched."""
    fetched = ServiceEvidence(documents={"report": json.dumps(document).encode()}, nonce=NONCE, host="h", peer_spki_sha256=SPKI, model=MODEL)
    return msgspec.structs.replace(fetched, **members)


def judged(document: dict[str, Any], accepted: AttestationPolicy | None = None, *, demand: Demand = ANY, **members: Any) -> Verdict:
    """The verdict on `document` under `accepted`, now."""
    fetched = evidence(document, **members)
    used = accepted or policy()
    try:
        machines = door.machines(fetched, demand)
    except EvidenceRefused as refusal:  # as a session does
        return door.refused(used, refusal, demand), None
    endorsed = {device.pem: device.collateral(NOW) for device in signer("two GPUs").devices}
    cpu = signer("genuine").machine.collateral()
    collateral = tuple(
        MachineCollateral(
            cpu=cpu, devices=tuple(endorsed[device.certificate_chain] for device in machine.devices if isinstance(device, NvidiaEvidence))
        )
        for machine in machines
    )
    return door.appraise(Question(fetched, collateral, (), used, NOW, demand))


def refused_by(document: dict[str, Any], accepted: AttestationPolicy | None = None, **more: Any) -> str:
    """Name of the check that refuses `document`."""
    appraisal, bound = judged(document, accepted, **more)
    assert bound is None
    assert appraisal.failure is not None, "accepted"
    return appraisal.failure.name


def with_token(document: dict[str, Any], token: bytes, jwks: bytes, accepted: AttestationPolicy) -> Verdict:
    """The verdict where NVIDIA's service judged the GPUs."""
    fetched = evidence(document)
    fetched = msgspec.structs.replace(fetched, documents={**fetched.documents, "nras": token})
    machines = door.machines(fetched, ANY)
    cpu = signer("genuine").machine.collateral()
    collateral = tuple(MachineCollateral(cpu=cpu, devices=(NrasCollateral(jwks=jwks),) if machine.devices else ()) for machine in machines)
    return door.appraise(Question(fetched, collateral, (), accepted, NOW, ANY))
