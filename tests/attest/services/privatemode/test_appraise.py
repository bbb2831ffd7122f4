"""Deployments through the door: accepted as they are, refused for what is wrong, and said to be what they are."""

import hashlib
from typing import Any

import msgspec
import pytest

from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.privatemode import appraise, mesh
from ollm.attest.services.question import Question
from ollm.attest.tables import ALL_CHECKS
from ollm.testing.mint.contrast import SERVICE_NAME, WORKLOAD, WORKLOAD_POLICY, Deployment, SnpCoordinator, encoded, manifest_of, pem
from ollm.values.checks import Outcome
from ollm.values.hexes import Hex32
from ollm.values.policy import SnpTcb
from tests.attest.services.privatemode.deployments import DEMAND, NONCE, agreed, agreement, chip, deployment, evidence, judged, policy
from tests.sim.hardware import NOW

LATER = ("privatemode.coordinator", "privatemode.admitted", "privatemode.mesh_ca", "privatemode.secret_service", "privatemode.secret")


@pytest.mark.parametrize("platform", ["sev-snp", "tdx"])
def test_a_deployment_is_accepted(platform: str) -> None:
    of = deployment(platform)
    appraisal, bound = judged(evidence(of), policy(of), of)
    assert appraisal.failure is None and bound is not None
    names = [check.name for check in appraisal.checks]
    assert names[:2] == ["privatemode.format", "privatemode.manifest"]
    assert tuple(names[-6:-1]) == LATER and names[-1] == "key.custody"
    assert set(names) <= set(ALL_CHECKS)
    assert bound.spkis == () and bound.channel_custody == "unknown"
    (key,) = bound.sealing
    assert (key.cipher, key.custody) == ("privatemode-v1", "app_kms")
    assert bound.identity == {
        "manifest_sha256": of.manifest_sha256,
        "mesh_ca_sha256": hashlib.sha256(pem(of.mesh.ca)).hexdigest(),
        "secret_service": SERVICE_NAME,
        "secret_sha256": hashlib.sha256(agreement().public_key).hexdigest(),
    }


def test_claims_say_what_rests_on_the_coordinators_word() -> None:
    appraisal, _ = judged(evidence(), policy())
    extra = appraisal.claims.extra
    assert "the coordinator, attested here, verified them, unseen by us" in extra["unproven"]
    assert "which machine reads a prompt" in extra["unproven"]
    assert extra["channel"].endswith("bodies are sealed to the application")
    assert extra["manifest_sha256"] == deployment().manifest_sha256


def test_an_acceptance_ends_before_the_provider_forgets_the_secret() -> None:
    appraisal, _ = judged(evidence(), policy())
    assert appraisal.valid_until == NOW + 45 * 60


def test_it_ends_with_the_certificates() -> None:
    short = Deployment(SnpCoordinator(chip()), NOW)
    short.mesh.certify, certify = (lambda *names, **more: certify(*names, **{**more, "end": NOW + 60})), short.mesh.certify  # type: ignore[method-assign]
    assert judged(evidence(short), policy(short), short)[0].valid_until == NOW + 60


def failing(found: Any, under: Any, of: Deployment | None = None) -> tuple[str, str]:
    appraisal, bound = judged(found, under, of)
    assert bound is None and appraisal.failure is not None
    return appraisal.failure.name, appraisal.failure.got


def test_the_manifest_is_the_one_that_is_pinned() -> None:
    assert failing(evidence(), policy(manifest_sha256=None)) == ("privatemode.manifest", "a policy that pins no manifest")
    assert failing(evidence(), policy(manifest_sha256="ab" * 32)) == ("privatemode.manifest", deployment().manifest_sha256)
    pinned = deployment().manifest
    earlier = deployment().answer(NONCE, manifests=(b"{}", pinned))
    assert failing(evidence(report=earlier), policy()) == ("privatemode.manifest", "2 manifests")
    none = deployment().answer(NONCE, {"manifests": []})
    assert failing(evidence(report=none), policy()) == ("privatemode.manifest", "0 manifests")


def test_a_pinned_manifest_that_says_nothing_is_refused() -> None:
    report = deployment().answer(NONCE, manifests=(b"{}",))
    assert failing(evidence(report=report), policy(manifest_sha256=hashlib.sha256(b"{}").hexdigest()))[0] == "privatemode.manifest"


def test_what_the_cpu_did_not_sign_is_refused() -> None:
    for report in (
        deployment().answer(Hex32("00" * 32)),
        deployment().answer(NONCE, {"mesh_ca": deployment().document(NONCE)["root_ca"]}),
        deployment().answer(NONCE, {"root_ca": deployment().document(NONCE)["mesh_ca"]}),
    ):
        assert failing(evidence(report=report), policy())[0] == "binding.statement"


def test_the_operators_own_rules_decide_about_the_machine() -> None:
    strict = policy()
    none = msgspec.structs.replace(strict, snp=msgspec.structs.replace(strict.snp, reference_values=()))
    assert failing(evidence(), none)[0] == "snp.reference_values"
    newer = msgspec.structs.replace(strict, snp=msgspec.structs.replace(strict.snp, min_tcb={"Genoa": SnpTcb(snp=25)}))
    assert failing(evidence(), newer)[0] == "snp.tcb"
    assert failing(evidence(deployment("tdx")), msgspec.structs.replace(strict, service=policy(deployment("tdx")).service))[0] == "machine.technology"
    other = evidence(report=deployment().answer(NONCE, coordinator=SnpCoordinator(chip(), measurement=b"\xb7" * 48)))
    assert failing(other, strict)[0] == "snp.reference_values"


def test_another_workload_does_not_pass_for_the_coordinator() -> None:
    assert failing(evidence(report=deployment().answer(NONCE, policy=WORKLOAD_POLICY)), policy())[0] == "privatemode.coordinator"


def test_a_coordinator_on_a_machine_that_its_manifest_does_not_admit() -> None:
    found = manifest_of(deployment().coordinator)
    found["ReferenceValues"]["snp"][0]["AllowedChipIDs"] = ["00" * 64]
    report = deployment().answer(NONCE, manifests=(encoded(found),))
    pinned = hashlib.sha256(encoded(found)).hexdigest()
    assert failing(evidence(report=report), policy(manifest_sha256=pinned)) == ("privatemode.admitted", "chip: other than in the manifest")


def test_a_mesh_ca_that_is_none() -> None:
    report = deployment().answer(NONCE, mesh_ca=b"nothing")
    assert failing(evidence(report=report), policy())[0] == "privatemode.mesh_ca"


def test_the_agreement_is_with_the_secret_service_of_that_mesh() -> None:
    of = deployment()
    stranger = Deployment(SnpCoordinator(chip()), NOW)
    assert failing(evidence(documents=agreed(stranger)), policy())[0] == "privatemode.secret_service"
    assert failing(evidence(documents=agreed(of, WORKLOAD)), policy())[0] == "privatemode.secret_service"
    assert failing(evidence(documents=agreed(of, Signature=b"")), policy())[0] == "privatemode.secret"
    assert failing(evidence(documents=agreed(of, EncapsulatedKey=bytes(1120))), policy())[0] == "privatemode.secret"


def test_documents_that_can_not_be_read_are_refused_by_whoever_reads_them_first() -> None:
    assert failing(evidence(report=b'{"AttestationDoc":"e30="}'), policy())[0] == "privatemode.format"
    assert failing(evidence(documents={mesh.ANSWERED: b"{}"}), policy())[0] == "privatemode.format"


@pytest.mark.parametrize(
    ("service", "got"),
    [
        ({"sealed_to_application": False}, "app_kms, over a connection that nothing attests"),
        ({"custody": ("instance",)}, "app_kms"),
    ],
)
def test_the_policy_has_to_accept_who_holds_the_secret(service: dict[str, Any], got: str) -> None:
    appraisal, bound = judged(evidence(), policy(**service))
    assert bound is None
    assert [(check.name, check.got) for check in appraisal.checks if check.outcome is Outcome.FAILED] == [("key.custody", got)]


def test_collateral_is_for_one_machine() -> None:
    (found,) = door.machines(evidence(), DEMAND)
    assert not door.alternatives(evidence(), DEMAND)
    assert found.devices == ()
    cpu = MachineCollateral(cpu=deployment().coordinator.collateral())
    appraisal, _ = appraise_with(cpu, cpu)
    assert appraisal.failure is not None and appraisal.failure.name == "machine.collateral"


def appraise_with(*collateral: MachineCollateral) -> Any:
    return door.appraise(Question(evidence(), collateral, (), policy(), NOW, DEMAND))


def test_a_secret_is_used_for_less_than_the_provider_keeps_it() -> None:
    assert appraise.SECRET_SECONDS == 2700
