"""Statements, policy and time in; the policy with what they vouch for out."""

import json
from typing import Any

import msgspec
import pytest

from ollm.attest.checks import Trail
from ollm.attest.provenance import appraise, images, reference_values, witness
from ollm.attest.provenance.appraise import ProvenanceFacts, augmented, plan
from ollm.attest.provenance.checks import APPRAISED, CHECKS, VERIFIED_BEFORE
from ollm.errors import EvidenceRefused
from ollm.testing.mint.provenance import REPOSITORY, WORKFLOW, built, verified, witness_of
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy, SigningKey, Subject, VerifiedStatement
from tests.attest.provenance.common import NOW, refusal

IDENTITY = BuildIdentity(repository=REPOSITORY, workflow=WORKFLOW)
BARE = AttestationPolicy(name="p", level=Level.TEE, cpu=("nitro",))
VALUES = {"issued_at": NOW - 50, "expires_at": NOW + 50, "nitro": [{"name": "app", "pcr0": "d" * 96}]}
RELEASE = verified(reference_values.REFERENCE_VALUES, VALUES, NOW - 50)
STRANGER = verified("urn:x", {}, NOW, by=built(repository="evil/enclave"))
WITNESS = BuildIdentity(repository="example/witness", workflow=WORKFLOW, ref="refs/heads/main")
SPOKEN = verified(witness.WITNESS, witness_of(), NOW - 60, by=built(repository="example/witness", ref="refs/heads/main"))
DIGEST = "1" * 64
COMPOSE = json.dumps(
    {"runner": "docker-compose", "docker_compose_file": f"services: {{app: {{image: 'app@sha256:{DIGEST}'}}}}", "pre_launch_script": "true"}
)
IMAGE = verified(images.SLSA_PROVENANCE, {}, NOW, subjects=[Subject("app", DIGEST)])


def policy(**table: Any) -> AttestationPolicy:
    return msgspec.structs.replace(BARE, provenance=ProvenancePolicy(**{"builds": (IDENTITY,), **table}))


def judged(given: AttestationPolicy, *statements: VerifiedStatement, app_compose: str | None = None) -> tuple[ProvenanceFacts, list[str]]:
    trail = Trail(plan(given))
    facts = appraise.appraise(trail, statements, given, NOW, app_compose=app_compose)
    return facts, [check.name for check in trail.completed()]


def test_values_of_an_admitted_build_are_added() -> None:
    facts, passed = judged(policy(), RELEASE)
    assert [item.pcr0 for item in facts.policy.nitro.reference_values] == ["d" * 96]
    assert passed == ["provenance.identity", "provenance.time", "provenance.reference_values"]
    assert (facts.statements, facts.warnings, facts.valid_until) == ((RELEASE,), (), NOW + 50)
    assert augmented(policy(), (RELEASE,), NOW) == facts.policy


def test_nothing_is_added_without_a_provenance_table() -> None:
    assert plan(BARE) == ()
    assert judged(BARE, RELEASE, STRANGER) == (ProvenanceFacts(policy=BARE), [])
    assert augmented(BARE, (RELEASE, STRANGER), NOW) is BARE


def test_statements_that_vouch_for_no_values_add_nothing() -> None:
    facts, _ = judged(policy(), IMAGE)
    assert (facts.policy, facts.valid_until) == (policy(), None)


def test_a_stranger_makes_the_whole_refused() -> None:
    for statements in ((STRANGER,), (RELEASE, STRANGER), (STRANGER, RELEASE)):
        assert refusal(augmented, policy(), statements, NOW).check == "provenance.identity"
    key = verified(reference_values.REFERENCE_VALUES, VALUES, NOW, by=SigningKey(public_key="aa" * 32))
    assert refusal(augmented, policy(), (key,), NOW).check == "provenance.identity"
    assert augmented(policy(signers=("aa" * 32,)), (key,), NOW).nitro.reference_values


def test_a_statement_from_the_future_or_past_its_end_is_refused() -> None:
    for statement in (verified("urn:x", {}, NOW + 301), verified(reference_values.REFERENCE_VALUES, {**VALUES, "expires_at": NOW}, NOW)):
        assert refusal(augmented, policy(), (statement,), NOW).check == "provenance.time"


def test_a_release_needs_a_witness_where_the_policy_names_one() -> None:
    demanding = policy(witness=WITNESS, max_witness_seconds=100)
    facts, passed = judged(demanding, RELEASE, SPOKEN)
    assert (facts.statements, facts.valid_until, passed[-1]) == ((RELEASE,), NOW + 40, "provenance.witness")
    for statements in ((RELEASE,), (SPOKEN,), (), (RELEASE, msgspec.structs.replace(SPOKEN, signed_at=NOW - 100))):
        assert refusal(augmented, demanding, statements, NOW).check == "provenance.witness"
    for other in (msgspec.structs.replace(SPOKEN, by=built()), msgspec.structs.replace(SPOKEN, by=STRANGER.by)):
        assert refusal(augmented, demanding, (RELEASE, other), NOW).check == "provenance.identity"
    late = msgspec.structs.replace(SPOKEN, signed_at=NOW + 301)
    assert refusal(augmented, demanding, (RELEASE, SPOKEN, late), NOW).check == "provenance.time"


def test_a_witness_that_nobody_asked_for_is_not_heard() -> None:
    facts, _ = judged(policy(), RELEASE, SPOKEN)
    assert facts.valid_until == NOW + 50


def test_a_file_under_a_key_ends_by_itself_and_needs_no_witness() -> None:
    key = verified(reference_values.REFERENCE_VALUES, VALUES, NOW, by=SigningKey(public_key="aa" * 32))
    demanding = policy(signers=("aa" * 32,), witness=WITNESS, max_witness_seconds=100)
    assert refusal(augmented, demanding, (key,), NOW).check == "provenance.witness"
    assert len(augmented(demanding, (key, RELEASE, SPOKEN), NOW).nitro.reference_values) == 2


def test_images_must_be_built_by_an_admitted_build_where_the_policy_says_so() -> None:
    demanding = policy(require_images=True)
    facts, passed = judged(demanding, IMAGE, app_compose=COMPOSE)
    assert passed[-3:] == ["provenance.compose", "provenance.images_pinned", "provenance.images"]
    assert facts.warnings == ("pre_launch_script of the compose file runs in the machine and may start what was not judged",)
    with pytest.raises(EvidenceRefused, match="no app-compose"):
        judged(demanding, IMAGE)
    with pytest.raises(EvidenceRefused, match="without provenance"):
        judged(demanding, RELEASE, app_compose=COMPOSE)
    assert augmented(demanding, (RELEASE,), NOW).provenance == demanding.provenance


def test_every_check_of_a_plan_is_explained() -> None:
    demanded = plan(policy(witness=WITNESS, require_images=True))
    assert set(demanded) == set(APPRAISED) - {"provenance.subject"}  # for whoever fetched a file
    assert [name for name in CHECKS if name in demanded] == list(demanded)
    assert set(CHECKS) == set(VERIFIED_BEFORE) | set(APPRAISED)
