"""Privatemode: a Contrast coordinator that vouches for a mesh of machines, and a secret that all inference machines of the mesh share.

One machine is judged here, the coordinator's: its hardware and software under the operator's policy, and that it has known one manifest,
the pinned one. What the manifest admits, which is the secret service, the machines that run models and their GPUs, it verifies itself;
that they are so is its word. The claims say so.

Bodies are sealed under a secret that the secret service agreed on with us and keeps where every inference machine of the mesh finds it.
So whose key it is is the application's, never one machine's (`app_kms`); and the connection ends at an API that nothing attests. The
policy has to accept both (`custody`, `sealed_to_application`).

A secret lives an hour at the provider. A session ends before: each has a secret of its own, made under the mesh CA that was attested for
that session, and the session names it.
"""

import hashlib

import msgspec

from ollm.attest.evidence import Expected, MachineEvidence
from ollm.attest.services.course import Course
from ollm.attest.services.evidence import Bound, SealingKey, ServiceEvidence
from ollm.attest.services.privatemode import document, manifest, mesh
from ollm.attest.services.privatemode.document import Coordinator
from ollm.attest.services.privatemode.manifest import Manifest
from ollm.attest.services.privatemode.mesh import Exchange, SecretService
from ollm.attest.services.question import Question, Verdict
from ollm.attest.services.shapes import REPORT
from ollm.errors import EvidenceRefused
from ollm.values.checks import Claims
from ollm.values.policy import AttestationPolicy

CIPHER = "privatemode-v1"
ALGORITHM = "ecdsa, signing an agreement by x-wing"  # of the key that a session is bound to
SECRET_SECONDS = 45 * 60  # for which a secret is used, of the 60 minutes that the provider keeps it

_COORDINATORS_WORD = (
    "that the secret service, the machines that run models and their GPUs are what the manifest says: "
    "the coordinator, attested here, verified them, unseen by us"
)
_MACHINE = "which machine reads a prompt: every inference machine of the mesh holds the secret that it is sealed under"
_CHANNEL = "the TLS connection ends at Privatemode's API, whose certificate is all that vouches for it; bodies are sealed to the application"


def machines(evidence: ServiceEvidence) -> tuple[MachineEvidence, ...]:
    """The coordinator's machine. Raises: EvidenceRefused with privatemode.format."""
    return (MachineEvidence(cpu=document.read(evidence.documents[REPORT]).cpu),)


def appraise(question: Question) -> Verdict:
    """Appraise a deployment by its coordinator. A Bound comes with acceptance only. Raises: EvidenceRefused."""
    evidence, policy, now = question.evidence, question.policy, question.now
    if len(question.collateral) != 1:
        raise EvidenceRefused("machine.collateral", f"collateral for {len(question.collateral)} machines", "for one")
    course = Course(
        question,
        before=("privatemode.format", "privatemode.manifest"),
        after=(
            "privatemode.coordinator",
            "privatemode.admitted",
            "privatemode.mesh_ca",
            "privatemode.secret_service",
            "privatemode.secret",
        ),
    )
    with course:
        # 1. The documents, and the one manifest that the operator pinned.
        coordinator, exchange = course.before.step("privatemode.format", _read, evidence)
        pinned = course.before.step("privatemode.manifest", check_manifest, coordinator, policy)

        # 2. The coordinator's machine: genuine, wanted, and what it signed is our nonce, that manifest and those CAs.
        expected = Expected(report_data=coordinator.report_data(evidence.nonce))
        found = course.machine(MachineEvidence(cpu=coordinator.cpu), question.collateral[0], expected)
        course.after.step("privatemode.coordinator", manifest.check_coordinator, pinned, coordinator.cpu)
        course.after.step("privatemode.admitted", manifest.check_admitted, pinned, coordinator.cpu)

        # 3. The secret: agreed on with the workload that the mesh CA certifies as the secret service.
        mesh_ca, mesh_period = course.after.step("privatemode.mesh_ca", mesh.check_mesh_ca, coordinator.mesh_ca, now)
        name = policy.service.secret_service
        service = course.after.step("privatemode.secret_service", mesh.check_secret_service, exchange.certificate, mesh_ca, name, pinned, now)
        course.after.step("privatemode.secret", mesh.check_secret, exchange, service)
        course.accept(
            _bound(coordinator, exchange, service, name or ""),
            _claims(found.claims, coordinator),
            valid_until=min(now + SECRET_SECONDS, mesh_period.end, service.period.end),
        )
    return course.verdict


def check_manifest(coordinator: Coordinator, policy: AttestationPolicy) -> Manifest:
    """There has been one manifest, which is the policy's, byte for byte. Raises: EvidenceRefused with privatemode.manifest."""
    check, want = "privatemode.manifest", policy.service.manifest_sha256
    if want is None:
        raise EvidenceRefused(check, "a policy that pins no manifest", "one, in service.manifest_sha256")
    if len(coordinator.manifests) != 1:
        raise EvidenceRefused(check, f"{len(coordinator.manifests)} manifests", "one: what an earlier one admitted may hold keys still")
    got = _digest(coordinator.manifests[0])
    if got != want:
        raise EvidenceRefused(check, got, f"{want}, the policy's")
    return manifest.read(coordinator.manifests[0])


def _read(evidence: ServiceEvidence) -> tuple[Coordinator, Exchange]:
    return document.read(evidence.documents[REPORT]), mesh.read(evidence.documents)


def _bound(coordinator: Coordinator, exchange: Exchange, service: SecretService, name: str) -> Bound:
    return Bound(
        spkis=(),
        channel_custody="unknown",
        sealing=(SealingKey(cipher=CIPHER, algorithm=ALGORITHM, public_key=service.public_key, custody="app_kms"),),
        identity={
            "manifest_sha256": _digest(coordinator.manifests[0]),
            "mesh_ca_sha256": _digest(coordinator.mesh_ca),
            "secret_service": name,
            "secret_sha256": exchange.digest,
        },
    )


def _claims(base: Claims, coordinator: Coordinator) -> Claims:
    unproven = "; ".join((base.extra["unproven"], _COORDINATORS_WORD, _MACHINE))
    named = {"manifest_sha256": _digest(coordinator.manifests[0]), "mesh_ca_sha256": _digest(coordinator.mesh_ca)}
    return msgspec.structs.replace(base, extra={**base.extra, **named, "channel": _CHANNEL, "unproven": unproven})


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
