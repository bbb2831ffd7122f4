"""Instances of one chute on simulated hardware, in both forms in which their evidence comes, and one place to bend each part of it."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.question import Question, Verdict
from ollm.sim.machine import SimulatedMachine
from ollm.testing.providers.chutes import FakeInstance
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy, ServicePolicy
from tests.sim.hardware import NOW

NONCE = Hex32("a5" * 32)
DEMAND = Demand(shapes=("chutes",), channel=False, seal=True)
Change = Callable[[dict[str, Any], dict[str, Any]], object]


def own(instances: list[FakeInstance], change: Change | None = None, /, *, nonce: Hex32 = NONCE, **documents: Any) -> ServiceEvidence:
    """What Chutes' API says of `instances`. `change` edits the list and the evidence; `documents` replace what was fetched."""
    listing: dict[str, Any] = {"instances": [{"instance_id": each.instance_id, "e2e_pubkey": each.key, "nonces": []} for each in instances]}
    report: dict[str, Any] = {"evidence": [each.evidence(nonce) for each in instances], "failed_instance_ids": []}
    if change is not None:
        change(listing, report)
    found = {"instances": json.dumps(listing).encode(), "report": json.dumps(report).encode(), **documents}
    return ServiceEvidence(documents=found, nonce=NONCE, host="api.example", peer_spki_sha256=None)


def passed_on(instances: list[FakeInstance], change: Callable[[dict[str, Any]], object] | None = None, *, nonce: str = NONCE) -> ServiceEvidence:
    """What a gateway in front of Chutes says of them."""
    report: dict[str, Any] = {"attestation_type": "chutes", "nonce": nonce, "all_attestations": [each.passed_on(nonce) for each in instances]}
    if change is not None:
        change(report)
    return ServiceEvidence(documents={"report": json.dumps(report).encode()}, nonce=NONCE, host="gateway.example", peer_spki_sha256=None)


def without_log(policy: AttestationPolicy, *, freshness: str = "client") -> AttestationPolicy:
    """`policy` for instances: their evidence has no event log and no compose file."""
    service = msgspec.convert({"freshness": freshness}, ServicePolicy)
    return msgspec.structs.replace(policy, require_event_log=False, require_compose=False, service=service)


def judged(
    evidence: ServiceEvidence, machine: SimulatedMachine, policy: AttestationPolicy, *, collateral: MachineCollateral | None = None
) -> Verdict:
    """The verdict on `evidence`; every machine gets the collateral of `machine`, or `collateral`."""
    found = door.machines(evidence, DEMAND)
    endorsed = tuple(collateral or MachineCollateral(cpu=machine.collateral()) for _ in found)
    return door.appraise(Question(evidence, endorsed, (), policy, NOW, DEMAND))
