"""The one door for services: dispatch on the shape of what was fetched, never on the host that it was fetched from.

A module for each shape reads it: `machines` says which machines the evidence is of (so what collateral is to be fetched), `appraise`
judges them and what binds them to the channel. A shape that the adapter did not ask for is refused, whoever sends it.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ollm.attest import appraise as aci_door
from ollm.attest.checks import unjudged
from ollm.attest.evidence import MachineEvidence
from ollm.attest.services import aci
from ollm.attest.services.chutes import appraise as chutes
from ollm.attest.services.dstack_signer import appraise as dstack_signer
from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence, Shape
from ollm.attest.services.privatemode import appraise as privatemode
from ollm.attest.services.question import Question, Verdict
from ollm.attest.services.shapes import shape_of
from ollm.attest.services.tinfoil import appraise as tinfoil
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.policy import AttestationPolicy


class Reader(NamedTuple):
    """How a shape is read."""

    machines: Callable[[ServiceEvidence], tuple[MachineEvidence, ...]]  # raises EvidenceRefused
    appraise: Callable[[Question], Verdict]  # may raise EvidenceRefused for what was wrong before any machine was judged
    alternatives: bool = False  # whether one machine of all that there are is enough


ACI: tuple[Shape, ...] = ("aci",)
CHANNEL, CUSTODY = "channel.spki", "key.custody"
READERS: dict[Shape, Reader] = {
    "aci": Reader(aci.machines, aci.appraise),
    "dstack": Reader(dstack_signer.machines, dstack_signer.appraise),
    "near-gateway": Reader(dstack_signer.machines, dstack_signer.appraise),
    "chutes": Reader(chutes.machines, chutes.appraise, alternatives=True),
    "tinfoil-v2": Reader(tinfoil.machines, tinfoil.appraise),
    "tinfoil-v3-june": Reader(tinfoil.machines, tinfoil.appraise),
    "tinfoil-v3": Reader(tinfoil.machines, tinfoil.appraise),
    "privatemode": Reader(privatemode.machines, privatemode.appraise),
}


def machines(evidence: ServiceEvidence, demand: Demand) -> tuple[MachineEvidence, ...]:
    """The machines that `evidence` is of. Raises: EvidenceRefused when it can't be read or is of another shape."""
    return _reader(evidence, demand).machines(evidence)


def alternatives(evidence: ServiceEvidence, demand: Demand) -> bool:
    """Whether one of the machines is enough, so that what another lacks is that one's affair. Raises: EvidenceRefused."""
    return _reader(evidence, demand).alternatives


def appraise(question: Question) -> Verdict:
    """Appraise a service; bad evidence never raises. A Bound comes with acceptance only."""
    try:
        appraisal, bound = _reader(question.evidence, question.demand).appraise(question)
    except EvidenceRefused as refusal:
        return refused(question.policy, refusal, question.demand), None
    if bound is None or not appraisal.accepted:
        return appraisal, None
    lacking = _lacking(bound, question)
    if lacking is not None:
        return Appraisal(appraisal.policy, appraisal.level, (*appraisal.checks, lacking)), None
    return _custody(appraisal, bound, question)


def _lacking(bound: Bound, question: Question) -> Check | None:
    """What the route demands to be bound and the evidence doesn't bind, whatever its reader looked at: a shape may have no such key at all."""
    demand, peer = question.demand, question.evidence.peer_spki_sha256
    if demand.channel and (peer is None or peer not in bound.spkis):
        return Check(CHANNEL, Outcome.FAILED, peer or "no TLS peer", " or ".join(bound.spkis) or "evidence that names the key of the channel")
    if demand.seal and not bound.sealing:
        return Check(CUSTODY, Outcome.FAILED, "no key to seal to", "one, as the route seals")
    return None


def _custody(appraisal: Appraisal, bound: Bound, question: Question) -> Verdict:
    """The keys are held by those whom the policy accepts: the keys to seal to, or the channel's where nothing is sealed."""
    held = {key.custody for key in bound.sealing} or {bound.channel_custody}
    accepted = question.policy.service.custody
    shared = sorted(held - {"instance"})
    if shared and not question.demand.channel and not question.policy.service.sealed_to_application:
        got, want = f"{', '.join(shared)}, over a connection that nothing attests", "an attested connection, or service.sealed_to_application"
        return Appraisal(appraisal.policy, appraisal.level, (*appraisal.checks, Check(CUSTODY, Outcome.FAILED, got, want))), None
    if held <= set(accepted):
        passed = () if question.demand.shapes == ACI else (Check(CUSTODY, Outcome.PASSED, ", ".join(sorted(held))),)
        return msgspec.structs.replace(appraisal, checks=(*appraisal.checks, *passed)), bound
    failed = Check(CUSTODY, Outcome.FAILED, ", ".join(sorted(held)), " or ".join(accepted) or "none")
    return Appraisal(appraisal.policy, appraisal.level, (*appraisal.checks, failed)), None


def refused(policy: AttestationPolicy, refusal: EvidenceRefused, demand: Demand) -> Appraisal:
    """The appraisal of what never came so far as to be appraised; of an ACI service, with the checks that were not reached."""
    if demand.shapes == ACI:
        return aci_door.refused(policy, refusal)
    return unjudged(policy, refusal)


def _reader(evidence: ServiceEvidence, demand: Demand) -> Reader:
    # Where an ACI report is all that may come, its own reader says more exactly what is wrong with another document.
    shape: Shape | None = "aci" if demand.shapes == ACI else shape_of(evidence.documents)
    if shape not in demand.shapes or shape not in READERS:
        raise EvidenceRefused("report.shape", shape or "a report of no known shape", " or ".join(demand.shapes))
    return READERS[shape]
