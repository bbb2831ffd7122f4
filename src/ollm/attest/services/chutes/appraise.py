"""Chutes: many instances of one model, each a machine with a sealing key of its own. One that is trusted is enough: it gets the session.

Each instance is judged alone. The first that passes is bound; what was wrong with those before it stands among the warnings, since they
belong to machines that get no prompt. When none passes, the appraisal has every instance's checks.

An instance whose evidence can't even be read is passed over, as others must not be able to hide behind it: instances run on machines of
many owners.
"""

import msgspec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey

from ollm.attest.certificates import refusing
from ollm.attest.checks import Trail
from ollm.attest.evidence import Expected, MachineEvidence, NrasEvidence, NvidiaEvidence, TdxEvidence
from ollm.attest.nvidia.appraise import collateral_need as device_need
from ollm.attest.services.chutes import report
from ollm.attest.services.chutes.report import Chute, Instance
from ollm.attest.services.course import Course
from ollm.attest.services.evidence import Bound, SealingKey, ServiceEvidence
from ollm.attest.services.question import Question, Verdict
from ollm.attest.tdx.genuine import collateral_need as quote_need
from ollm.attest.tdx.layout import parse_quote
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Claims
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy

CIPHER = "chutes-e2ee-v1"
MAX_JUDGED = 4  # instances; each costs a quote, up to eight GPUs, and what vendors say about them

_UNPROVEN = "which container the instance runs, and with which arguments: its evidence has no log of what was started after the boot"
_UNDATED = "that the evidence is not an old one: it is over no nonce of ours, and says no time"
_CHANNEL = "the TLS connection ends at Chutes' API, whose certificate is all that vouches for it; bodies are sealed to the instance"


class Candidate(msgspec.Struct, frozen=True):
    """An instance whose evidence can be read, and the machine that it is of."""

    instance: Instance
    machine: MachineEvidence


def nras_role(instance_id: str) -> str:
    """The role of NVIDIA's word about the GPUs of an instance, where it was asked for instead of judging their reports."""
    return f"nras:{instance_id}"


def machines(evidence: ServiceEvidence) -> tuple[MachineEvidence, ...]:
    """The machines of the instances that will be judged. Raises: EvidenceRefused with chutes.format."""
    return tuple(candidate.machine for candidate in candidates(report.read(evidence), evidence))


def candidates(chute: Chute, evidence: ServiceEvidence) -> tuple[Candidate, ...]:
    """The first instances whose evidence can be read."""
    found: list[Candidate] = []
    for instance in chute.instances:
        try:
            found.append(Candidate(instance, _machine(instance, evidence)))
        except EvidenceRefused:
            continue
        if len(found) == MAX_JUDGED:
            break
    return tuple(found)


def appraise(question: Question) -> Verdict:
    """Appraise the instances of a chute. A Bound comes with acceptance only, of the first that passes. Raises: EvidenceRefused."""
    evidence, policy = question.evidence, question.policy
    # 1. The documents, and whether they are an answer to us.
    chute = report.read(evidence)
    before = Trail(("chutes.format", *(("chutes.nonce",) if chute.nonce is not None else ()), "chutes.instances"))
    before.passed("chutes.format")
    try:
        if chute.nonce is not None:
            before.step("chutes.nonce", check_nonce, chute.nonce, evidence.nonce, policy)
        found = before.step("chutes.instances", check_candidates, chute, evidence)
    except EvidenceRefused as refusal:
        return Appraisal(policy.name, policy.level, before.refused(refusal)), None
    if len(question.collateral) != len(found):
        raise EvidenceRefused("machine.collateral", f"collateral for {len(question.collateral)} machines", f"for {len(found)}")

    # 2. Each instance, until one passes.
    refusals: list[Check] = []
    passed_over: list[str] = []
    for index, candidate in enumerate(found):
        appraisal, bound = _instance(question, chute, candidate, index)
        if bound is not None:
            return msgspec.structs.replace(
                appraisal, checks=(*before.completed(), *appraisal.checks), warnings=(*appraisal.warnings, *passed_over)
            ), bound
        refusals += appraisal.checks
        passed_over.append(f"instance {candidate.instance.instance_id} was refused: {_reason(appraisal)}")
    return Appraisal(policy.name, policy.level, (*before.completed(), *refusals)), None


def check_nonce(stated: str, ours: Hex32, policy: AttestationPolicy) -> None:
    """The document is an answer to our nonce, where the policy asks for that. Raises: EvidenceRefused with chutes.nonce.

    It names no time, so nothing bounds its age where the policy doesn't ask.
    """
    if stated != ours and policy.service.freshness != "server":
        raise EvidenceRefused("chutes.nonce", f"{stated[:64]!a}, the provider's", f'{ours}, ours, or a policy with freshness = "server"')


def check_candidates(chute: Chute, evidence: ServiceEvidence) -> tuple[Candidate, ...]:
    """Some instance has a key and evidence that can be read. Raises: EvidenceRefused with chutes.instances."""
    found = candidates(chute, evidence)
    if not found:
        raise EvidenceRefused("chutes.instances", f"none, of {len(chute.instances)} with key and evidence", "one whose evidence can be read")
    return found


def check_key(instance: Instance) -> bytes:
    """The key is a point that ML-KEM-768 can encapsulate to. Raises: EvidenceRefused with chutes.key."""
    key = instance.public_key
    with refusing("chutes.key", "a key that ML-KEM-768 does not admit", "one with coefficients below its modulus"):
        MLKEM768PublicKey.from_public_bytes(key)
    return key


def _instance(question: Question, chute: Chute, candidate: Candidate, index: int) -> Verdict:
    instance = candidate.instance
    course = Course(question, before=("chutes.key",), after=())
    with course:
        key = course.before.step("chutes.key", check_key, instance)
        expected = Expected(report_data=instance.report_data, device_nonce=instance.statement, device_binding_at=0)
        found = course.machine(candidate.machine, question.collateral[index], expected, target=f"instance{index}")
        sealing = SealingKey(cipher=CIPHER, algorithm="ml-kem-768", public_key=key, custody="instance")
        bound = Bound(spkis=(), channel_custody="unknown", sealing=(sealing,), identity={"instance_id": instance.instance_id})
        course.accept(bound, _claims(found.claims, instance, fresh=chute.nonce in (None, question.evidence.nonce)))
    return course.verdict


def _machine(instance: Instance, evidence: ServiceEvidence) -> MachineEvidence:
    """Raises: EvidenceRefused for evidence that can't be read."""
    quote = instance.quote_bytes
    quote_need(parse_quote(quote))
    devices = instance.devices
    for device in devices:
        device_need(device)
    _ = instance.report_data  # its certificate is readable
    token = evidence.documents.get(nras_role(instance.instance_id))
    cpu = TdxEvidence(quote=quote)
    return MachineEvidence(cpu=cpu, devices=devices if token is None else (NrasEvidence(token=token),))


def unheard(candidate: Candidate) -> tuple[NvidiaEvidence, ...]:
    """The candidate's GPUs, for whoever asks NVIDIA's service about them."""
    return tuple(device for device in candidate.machine.devices if isinstance(device, NvidiaEvidence))


def _claims(base: Claims, instance: Instance, *, fresh: bool) -> Claims:
    unproven = "; ".join((base.extra["unproven"], _UNPROVEN, *(() if fresh else (_UNDATED,))))
    return msgspec.structs.replace(base, extra={**base.extra, "instance_id": instance.instance_id, "channel": _CHANNEL, "unproven": unproven})


def _reason(appraisal: Appraisal) -> str:
    failure = appraisal.failure
    return f"{failure.name}: got {failure.got}, want {failure.want}"[:200] if failure is not None else "no check was made"
