"""A release counts as current for as long as its witness said so lately."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import witness
from ollm.testing.mint.provenance import SUBJECT, built, verified, witness_of
from ollm.values.provenance import BuildIdentity, CertifiedBuild, ProvenancePolicy, SigningKey, Subject
from tests.attest.provenance.common import NOW, caught, refusal

FILE = ".github/workflows/freshness.yml"
WHO = built(repository="example/witness", workflow=FILE, ref="refs/heads/main", trigger="workflow_dispatch")
POLICY = ProvenancePolicy(witness=BuildIdentity(repository="example/witness", workflow=FILE, ref="refs/heads/main"), max_witness_seconds=100)
RELEASE = verified("urn:x", {}, NOW - 10**6)


def spoken(
    at: int, predicate: dict[str, Any] | None = None, by: CertifiedBuild | SigningKey = WHO, subjects: tuple[Subject, ...] = (SUBJECT,)
) -> Any:
    return verified(witness.WITNESS, witness_of() if predicate is None else predicate, at, by=by, subjects=subjects)


def test_the_latest_word_counts() -> None:
    assert witness.is_witness(spoken(NOW))
    assert not witness.is_witness(RELEASE)
    assert witness.check_fresh(RELEASE, (spoken(NOW - 500), spoken(NOW - 99), spoken(NOW - 200)), POLICY, NOW) == NOW + 1


def test_silence_is_revocation() -> None:
    refused = refusal(witness.check_fresh, RELEASE, (spoken(NOW - 100),), POLICY, NOW)
    assert (refused.check, refused.got) == ("provenance.witness", "a witness that spoke 100 seconds ago")
    assert "no witness of example/enclave" in refusal(witness.check_fresh, RELEASE, (), POLICY, NOW).got


@pytest.mark.parametrize(
    "changes",
    [
        {"repo": "example/other"},
        {"repo": "Example/enclave"},
        {"tag": "v1.2.1"},
        {"tag": ""},
        {"commit": "c1" * 20},
        {"subject": {"name": "other.json", "digest": f"sha256:{SUBJECT.sha256}"}},
        {"subject": {"name": SUBJECT.name, "digest": SUBJECT.sha256}},
        {"subject": {"name": SUBJECT.name, "digest": f"sha256:sha256:{SUBJECT.sha256}"}},
        {"subject": {"name": SUBJECT.name, "digest": "sha256:" + "00" * 32}},
    ],
)
def test_a_witness_of_another_release_says_nothing(changes: dict[str, Any]) -> None:
    refused = refusal(witness.check_fresh, RELEASE, (spoken(NOW, witness_of(**changes)),), POLICY, NOW)
    assert refused.got.startswith("no witness of")


def test_the_witness_itself_is_about_that_file() -> None:
    elsewhere = spoken(NOW, subjects=(Subject("other", "00" * 32),))
    assert refusal(witness.check_fresh, RELEASE, (elsewhere,), POLICY, NOW).got.startswith("no witness of")


def test_a_file_under_a_key_has_no_release_to_endorse() -> None:
    file = verified("urn:x", {}, NOW, by=SigningKey(public_key="aa" * 32))
    assert refusal(witness.check_fresh, file, (spoken(NOW),), POLICY, NOW).got.startswith("no witness of key")


@pytest.mark.parametrize(
    "predicate",
    [
        {},
        {"format": witness.WITNESS},
        {**witness_of(), "format": "x"},
        {**witness_of(), "x": 1},
        witness_of(repo=1),
        witness_of(x=1),
        witness_of(subject={}),
    ],
)
def test_a_witness_of_another_form_is_refused(predicate: dict[str, Any]) -> None:
    assert refusal(witness.check_fresh, RELEASE, (spoken(NOW, predicate),), POLICY, NOW).check == "provenance.witness"


@given(st.dictionaries(st.sampled_from(["format", "endorses", "x"]), st.none() | st.text() | st.dictionaries(st.text(), st.integers())))
def test_only_a_refusal_escapes(predicate: dict[str, Any]) -> None:
    refused = caught(witness.check_fresh, RELEASE, (spoken(NOW, predicate),), POLICY, NOW)
    assert refused is not None
    assert refused.check == "provenance.witness"


def test_only_the_policys_witness_is_heard() -> None:
    witness.check_witness(spoken(NOW), POLICY)
    for stranger in (built(), SigningKey(public_key="aa" * 32)):
        assert refusal(witness.check_witness, spoken(NOW, by=stranger), POLICY).check == "provenance.identity"
    assert refusal(witness.check_witness, spoken(NOW), ProvenancePolicy()).check == "provenance.identity"
    assert refusal(witness.check_fresh, RELEASE, (spoken(NOW),), ProvenancePolicy(), NOW).check == "provenance.witness"
