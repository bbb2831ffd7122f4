"""Tinfoil's enclaves: one machine, whose report data commit to its TLS key, its sealing key and, since v3, our nonce and its devices.

Who holds the keys is the machine alone: they are made when it boots. Whether that machine runs the model or passes prompts on to one that
does can't be told from its evidence; the policy says it (`service.terminates_at`), and the claims repeat it.
"""

import hmac
from collections.abc import Mapping

import msgspec

from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, NrasEvidence, NvidiaEvidence
from ollm.attest.services.course import Course
from ollm.attest.services.evidence import Bound, Demand, SealingKey, ServiceEvidence, Shape
from ollm.attest.services.question import Question, Verdict
from ollm.attest.services.shapes import REPORT, shape_of
from ollm.attest.services.tinfoil import certificate, document_june, document_v2, document_v3
from ollm.attest.services.tinfoil.bound import Stated
from ollm.attest.services.tinfoil.document_june import June
from ollm.attest.services.tinfoil.document_v3 import V3
from ollm.errors import EvidenceRefused
from ollm.values.aci import HPKE_ALGO
from ollm.values.checks import Claims
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy

CERTIFICATE = "certificate"  # role of the answer with the machine's TLS certificate
NRAS = "nras"  # role of NVIDIA's word about the devices, where it was asked for instead of judging their reports

_PLANS: dict[Shape, tuple[str, ...]] = {
    "tinfoil-v2": ("tinfoil.format", "tinfoil.freshness", "tinfoil.keys"),
    "tinfoil-v3-june": ("tinfoil.format", "tinfoil.nonce", "tinfoil.sections", "tinfoil.signature", "tinfoil.keys"),
    "tinfoil-v3": ("tinfoil.format", "tinfoil.nonce", "tinfoil.sections", "tinfoil.keys"),
}
_ENDS = {
    "enclave": "the machine that was attested runs the model",
    "router": "encryption ends in a router, attested here; it passes prompts on to machines that it verified itself, unseen by us",
}
_UNSTATED = "not stated: the policy doesn't say whether the machine that was attested runs the model or passes prompts on"


def machines(evidence: ServiceEvidence) -> tuple[MachineEvidence, ...]:
    """The machine that the document is of. Raises: EvidenceRefused with tinfoil.format."""
    stated = _stated(_read(_shape(evidence.documents), evidence.documents[REPORT]))
    return (_machine(stated, evidence),)


def gpus(report: bytes) -> tuple[tuple[NvidiaEvidence, ...], str]:
    """Evidence of the GPUs in a document and their architecture, for whoever asks NVIDIA's service about them. Raises: EvidenceRefused."""
    stated = _stated(_read(_shape({REPORT: report}), report))
    return stated.gpus, stated.arch


def appraise(question: Question) -> Verdict:
    """Appraise an enclave of Tinfoil's. A Bound comes with acceptance only. Raises: EvidenceRefused without a document that can be read."""
    evidence, demand, policy = question.evidence, question.demand, question.policy
    shape = _shape(evidence.documents)
    course = Course(question, before=_PLANS[shape], after=("channel.spki",) if demand.channel else ())
    with course:
        # 1. The document: exactly what its form has, for our nonce, true about itself.
        trail = course.before
        document = trail.step("tinfoil.format", _read, shape, evidence.documents[REPORT])
        stated = _stated(document)
        if stated.nonce is None:
            trail.step("tinfoil.freshness", check_freshness, policy)
        else:
            trail.step("tinfoil.nonce", check_nonce, stated.nonce, evidence.nonce)
        if isinstance(document, V3):
            trail.step("tinfoil.sections", document_v3.check_sections, document)
        elif isinstance(document, June):
            trail.step("tinfoil.sections", document_june.check_sections, document)
            trail.step("tinfoil.signature", document_june.check_signature, document)
        spki, sealing = trail.step("tinfoil.keys", check_keys, stated, demand)

        # 2. The machine: genuine, wanted, and its report data are what follows from the document.
        found = course.machine(_machine(stated, evidence), _collateral(question), _expected(stated))

        # 3. The channel ends there.
        if demand.channel:
            course.after.step("channel.spki", check_spki, spki, evidence.peer_spki_sha256)
        course.accept(_bound(spki, sealing, evidence.host), _claims(found.claims, shape, policy, _named(stated, evidence)))
    return course.verdict


def check_freshness(policy: AttestationPolicy) -> None:
    """The policy takes evidence that is not over our nonce. Raises: EvidenceRefused with tinfoil.freshness.

    v2's document has no time either, so no age can be demanded of it.
    """
    if policy.service.freshness != "server":
        raise EvidenceRefused(
            "tinfoil.freshness", "a report made when the machine booted (v2)", 'one for our nonce, or a policy with freshness = "server"'
        )


def check_nonce(stated: Hex32, ours: Hex32) -> None:
    """The document answers our nonce. Raises: EvidenceRefused with tinfoil.nonce."""
    if not hmac.compare_digest(stated, ours):
        raise EvidenceRefused("tinfoil.nonce", stated, f"{ours}, our nonce")


def check_keys(stated: Stated, demand: Demand) -> tuple[Hex32, SealingKey | None]:
    """The keys that are needed are stated. Raises: EvidenceRefused with tinfoil.keys."""
    if stated.spki is None:
        raise EvidenceRefused("tinfoil.keys", "no key of TLS", "its fingerprint")
    if stated.hpke is None:
        if demand.seal:
            raise EvidenceRefused("tinfoil.keys", "no key to seal to", "an X25519 key, as the route seals")
        return stated.spki, None
    return stated.spki, SealingKey(cipher="ehbp", algorithm=HPKE_ALGO, public_key=stated.hpke, custody="instance")


def check_spki(attested: Hex32, peer: Hex32 | None) -> None:
    """The connection ends at the attested key. Raises: EvidenceRefused with channel.spki."""
    if peer is None or not hmac.compare_digest(attested, peer):
        raise EvidenceRefused("channel.spki", peer or "no TLS peer", f"{attested}, the attested key")


def _shape(documents: Mapping[str, bytes]) -> Shape:
    shape = shape_of(documents)
    if shape not in _PLANS:
        raise EvidenceRefused("report.shape", shape or "a report of no known shape", " or ".join(_PLANS))
    return shape


def _read(shape: Shape, report: bytes) -> Stated | June | V3:
    if shape == "tinfoil-v2":
        return document_v2.parse(report)
    return document_v3.parse(report) if shape == "tinfoil-v3" else document_june.parse(report)


def _stated(document: Stated | June | V3) -> Stated:
    return document if isinstance(document, Stated) else document.stated


def _machine(stated: Stated, evidence: ServiceEvidence) -> MachineEvidence:
    token = evidence.documents.get(NRAS)
    if token is not None:
        return MachineEvidence(cpu=stated.cpu, devices=(NrasEvidence(token=token),))
    return MachineEvidence(cpu=stated.cpu, devices=(*stated.gpus, *stated.switches))


def _expected(stated: Stated) -> Expected:
    """What the CPU must have signed: its first half is the commitment to keys, nonce and devices in one."""
    if stated.report_data is None or stated.nonce is None:
        return Expected()
    return Expected(
        report_data=stated.report_data,
        device_nonce=bytes.fromhex(stated.nonce),
        device_binding_at=0,
        device_commitment=stated.report_data[:32] if stated.covers_devices else None,
    )


def _collateral(question: Question) -> MachineCollateral:
    if len(question.collateral) != 1:
        raise EvidenceRefused("machine.collateral", f"collateral for {len(question.collateral)} machines", "for one")
    return question.collateral[0]


def _bound(spki: Hex32, sealing: SealingKey | None, host: str) -> Bound:
    return Bound(spkis=(spki,), sealing=() if sealing is None else (sealing,), identity={"tls_key": str(spki), "host": host})


def _named(stated: Stated, evidence: ServiceEvidence) -> dict[str, str]:
    """What the certificate of a machine that spoke v2 says of it, where it was fetched."""
    answer = evidence.documents.get(CERTIFICATE)
    return {} if answer is None or stated.nonce is not None else {"certificate": certificate.fact(answer, evidence.documents[REPORT], stated)}


def _claims(base: Claims, shape: Shape, policy: AttestationPolicy, named: Mapping[str, str]) -> Claims:
    """What the evidence showed, with where encryption ends by the policy's word."""
    ends = policy.service.terminates_at
    extra = {**base.extra, **named, "document": shape, "terminates_at": f"{ends}: {_ENDS[ends]}" if ends is not None else _UNSTATED}
    if ends != "enclave":
        extra["unproven"] = "; ".join((extra["unproven"], "which machine runs the model"))
    if shape == "tinfoil-v2":
        extra["unproven"] += "; that the evidence is not an old one: it is over no nonce of ours"
    return msgspec.structs.replace(base, extra=extra)
