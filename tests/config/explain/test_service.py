"""What is said of a provider's service beside its machines."""

from typing import Any

import pytest

from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, ServicePolicy, TdxPolicy
from tests.config.explain.saying import exposes, holds, notes, nothing, weakens


def service(**fields: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, service=ServicePolicy(**fields))


def test_whose_nonce_evidence_is_over() -> None:
    assert "a nonce of ours" in holds(service(), "service.freshness")
    assert "an old one can be shown again" in weakens(service(freshness="server"), "service.freshness")
    assert "nothing bounds its age" in weakens(service(freshness="server"), "service.freshness")


def test_who_holds_the_keys() -> None:
    usual = service()
    assert "the verified machine alone, or every machine to which a key service" in holds(usual, "service.custody")
    assert "whoever runs its key service" in notes(usual, "service.custody")
    assert not exposes(usual, "service.custody")
    alone = service(custody=("instance",))
    assert holds(alone, "service.custody").endswith("the verified machine alone")
    assert not notes(alone, "service.custody")
    assert "nobody knows who holds them" in exposes(service(custody=("unknown",)), "service.custody")
    assert nothing(service(custody=()), "service.custody")


def test_what_runs_after_the_boot() -> None:
    assert "not compared" in notes(service(), "service.manager_files")
    assert nothing(service(manager_files=()), "service.manager_files")
    assert "abababababababab…" in holds(service(manager_files=("ab" * 32,)), "service.manager_files")
    assert "need not state" in notes(service(), "service.require_manager")
    assert "states what was started" in holds(service(require_manager=True), "service.require_manager")


def test_signed_answers() -> None:
    assert "its receipt says so" in notes(service(), "service.require_signature")
    assert "is a failure" in holds(service(require_signature=True), "service.require_signature")


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("app_ids", "dstack application"),
        ("key_providers", "dstack key service"),
        ("gateway_app_ids", "dstack application of the provider's gateway"),
    ],
)
def test_lists_of_who_is_accepted(field: str, what: str) -> None:
    assert notes(service(), f"service.{field}") == f"any {what} will do"
    assert nothing(service(**{field: ()}), f"service.{field}") == f"its list for the {what} is empty"
    assert holds(service(**{field: ("ab" * 20,)}), f"service.{field}") == f"the {what} is one of: {'ab' * 20}"


def test_a_gateway_of_the_providers() -> None:
    assert "is refused" in holds(service(), "service.gateway_tdx")
    behind = service(gateway_tdx=TdxPolicy(allow_smt=False, rejected_advisories=("INTEL-SA-00001",)))
    assert "may stand before the machine" in notes(behind, "service.gateway_tdx")
    assert "of the provider's gateway: " in holds(behind, "service.gateway_tdx")
    assert "INTEL-SA-00001" in holds(behind, "service.gateway_tdx")
    assert "INTEL-SA-00001" not in holds(behind, "tdx.rejected_advisories"), "the gateway's table is not the machine's"


def test_a_mesh_behind_a_coordinator() -> None:
    assert "is refused" in holds(service(), "service.manifest_sha256")
    pinned = service(manifest_sha256="ab" * 32, secret_service="secret.example", sealed_to_application=True)
    assert "abababababababab…" in holds(pinned, "service.manifest_sha256")
    assert "the coordinator's word" in notes(pinned, "service.manifest_sha256")
    assert "is refused" in holds(service(), "service.secret_service")
    assert "the workload secret.example" in holds(pinned, "service.secret_service")
    assert "ends at a key that was attested" in holds(service(), "service.sealed_to_application")
    assert "nothing attests" in weakens(pinned, "service.sealed_to_application")


@pytest.mark.parametrize(("where", "text"), [(None, "is not said"), ("router", "only it verifies"), ("enclave", "is the operator's word")])
def test_where_encryption_ends(where: str | None, text: str) -> None:
    assert text in notes(service(terminates_at=where), "service.terminates_at")
