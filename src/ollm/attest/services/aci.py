"""ACI/1 services: one TDX machine, whose report data commit to a keyset and to our nonce (ACI §3, §4)."""

from collections.abc import Iterator

from ollm.attest import appraise as door
from ollm.attest.aci import parse_report
from ollm.attest.evidence import AciEvidence, Binding, MachineEvidence, TdxCollateral, TdxEvidence
from ollm.attest.services.evidence import Bound, SealingKey, ServiceEvidence
from ollm.attest.services.question import Question, Verdict
from ollm.errors import EvidenceRefused
from ollm.values.aci import HPKE_ALGO

REPORT, HPKE_KEYS = "report", "hpke_keys"
E2EE = "aci-e2ee-v2"  # the cipher that a route may demand in HPKE's place


def machines(evidence: ServiceEvidence) -> tuple[MachineEvidence, ...]:
    """The machine that the evidence is of. Raises: EvidenceRefused when it can't be read."""
    report = parse_report(_document(evidence, REPORT))
    cpu = TdxEvidence(quote=report.quote, event_log=report.event_log, app_compose=report.app_compose, vm_config=report.vm_config)
    return (MachineEvidence(cpu=cpu),)


def appraise(question: Question) -> Verdict:
    """Appraise an ACI/1 service. A Bound comes with acceptance only. Raises: EvidenceRefused for missing parts."""
    evidence, demand = question.evidence, question.demand
    cpu = question.collateral[0].cpu if question.collateral else None
    if not isinstance(cpu, TdxCollateral):
        raise EvidenceRefused("machine.collateral", "none, or of another kind", "collateral for tdx")
    own = demand.seal and demand.cipher == E2EE
    appraisal, binding = door.appraise(
        aci_evidence(evidence),
        cpu,
        question.policy,
        question.now,
        require_hpke=demand.seal and not own,
        require_channel=demand.channel,
        require_field_key=own,
    )
    return appraisal, None if binding is None else bound(binding)


def aci_evidence(evidence: ServiceEvidence) -> AciEvidence:
    """What the reader of ACI reports takes. Raises: EvidenceRefused without a report."""
    return AciEvidence(
        report=_document(evidence, REPORT),
        nonce=evidence.nonce,
        peer_spki_sha256=evidence.peer_spki_sha256,
        hpke_key_config=evidence.documents.get(HPKE_KEYS),
    )


def bound(binding: Binding) -> Bound:
    """What an accepted ACI/1 service binds."""
    return Bound(
        spkis=() if binding.spki_sha256 is None else (binding.spki_sha256,),
        sealing=tuple(_sealing(binding)),
        identity={"keyset_digest": binding.keyset_digest, "quote_identity": binding.quote_identity},
        keyset=binding.keyset,
        keyset_digest=binding.keyset_digest,
    )


def _sealing(binding: Binding) -> Iterator[SealingKey]:
    if binding.hpke_public_key is not None:
        yield SealingKey(cipher="ehbp", algorithm=HPKE_ALGO, public_key=binding.hpke_public_key, custody="instance")
    if binding.field_key is not None:
        algorithm, key = binding.field_key
        # Services that have such a key get it from a key service, for all of their replicas; one that says nothing of that is no better.
        yield SealingKey(cipher=E2EE, algorithm=algorithm, public_key=key, custody="app_kms")


def _document(evidence: ServiceEvidence, role: str) -> bytes:
    document = evidence.documents.get(role)
    if document is None:
        raise EvidenceRefused("report.format", f"no {role}", "one")
    return document
