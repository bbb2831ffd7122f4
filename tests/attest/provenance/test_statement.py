"""in-toto statements: one reading, or none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import statement
from ollm.testing.mint.provenance import BUILD, DIGEST, REPOSITORY, SUBJECT, WORKFLOW, built, verified
from ollm.testing.mint.provenance import statement as minted
from ollm.values.provenance import BuildIdentity, ProvenancePolicy, SigningKey, Subject
from tests.attest.provenance.common import NOW, caught, refusal

SIGNED = verified("urn:x", {}, NOW)


def test_a_statement_is_read() -> None:
    other = Subject("other", "ab" * 32)
    read = statement.parse(minted("https://slsa.dev/provenance/v1", {"builder": {"id": "x"}}, (SUBJECT, other)))
    assert read == statement.Statement((SUBJECT, other), "https://slsa.dev/provenance/v1", {"builder": {"id": "x"}})


def test_a_subject_may_lack_a_name_and_have_what_a_resource_has() -> None:
    resource = {"uri": "urn:x", "content": "eA==", "downloadLocation": "urn:y", "mediaType": "x/y", "annotations": {}}
    subject = {"digest": {"sha256": DIGEST, "gitCommit": "c0" * 20}, **resource}
    assert statement.parse(minted("urn:x", {}, subject=[subject])).subjects == (Subject("", DIGEST),)


@pytest.mark.parametrize(
    ("members", "got"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "another version"),
        ({"_type": None}, "another version"),
        ({"extra": 1}, "other members"),
        ({"predicateType": 7}, "no URI"),
        ({"predicateType": ""}, "no URI"),
        ({"predicateType": "urn:x\n"}, "no URI"),
        ({"predicate": []}, "no object"),
        ({"predicate": None}, "no object"),
        ({"subject": []}, "no list of subjects"),
        ({"subject": {}}, "no list of subjects"),
        ({"subject": [{"digest": {"sha256": DIGEST}}] * 1025}, "too long"),
        ({"subject": ["x"]}, "a subject with other members"),
        ({"subject": [{"name": "x", "digest": {"sha256": DIGEST}, "size": 1}]}, "a subject with other members"),
        ({"subject": [{"name": "x"}]}, "without a digest"),
        ({"subject": [{"name": "x", "digest": DIGEST}]}, "without a digest"),
        ({"subject": [{"name": "x", "digest": {"sha512": "ab" * 64}}]}, "without a digest"),
        ({"subject": [{"name": "x", "digest": {"sha256": DIGEST.upper()}}]}, "without a digest"),
        ({"subject": [{"name": "x", "digest": {"sha256": DIGEST[:-1]}}]}, "without a digest"),
        ({"subject": [{"name": 1, "digest": {"sha256": DIGEST}}]}, "whose name"),
    ],
)
def test_what_could_be_read_otherwise_is_refused(members: dict[str, Any], got: str) -> None:
    refused = refusal(statement.parse, minted("urn:x", {}, **members))
    assert (refused.check, got in refused.got) == ("provenance.statement", True)


def test_doubled_members_and_other_documents_are_refused() -> None:
    text = minted("urn:x", {}).decode()
    for bad in (text.replace('"_type"', '"predicate": {}, "_type"', 1), "[]", "null", "", "{}", text[:-1], text.replace("urn:x", "urn:x\\ud800")):
        assert refusal(statement.parse, bad.encode()).check == "provenance.statement"
    assert "at most" in refusal(statement.parse, b" " * (statement.MAX_STATEMENT + 1)).want


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["name", "digest", "sha256", "sig"]), below),
        max_leaves=6,
    )
)
def test_only_a_refusal_escapes(document: Any) -> None:
    for data in (json.dumps(document).encode(), minted("urn:x", {}, subject=document), minted("urn:x", document), str(document).encode()):
        refused = caught(statement.parse, data)
        assert refused is None or refused.check == "provenance.statement"


@given(st.binary())
def test_bytes_are_refused_or_read(data: bytes) -> None:
    assert refusal(statement.parse, data).check == "provenance.statement"


def test_a_build_or_a_key_is_admitted_where_the_policy_names_it() -> None:
    policy = ProvenancePolicy(builds=(BuildIdentity(repository=REPOSITORY, workflow=WORKFLOW),), signers=("aa" * 32,))
    statement.check_admitted(SIGNED, policy)
    statement.check_admitted(verified("urn:x", {}, NOW, by=SigningKey(public_key="aa" * 32)), policy)
    for stranger in (built(repository="a/b"), SigningKey(public_key="bb" * 32)):
        assert refusal(statement.check_admitted, verified("urn:x", {}, NOW, by=stranger), policy).check == "provenance.identity"
    assert refusal(statement.check_admitted, SIGNED, ProvenancePolicy(signers=("aa" * 32,))).check == "provenance.identity"
    assert str(BUILD).startswith(REPOSITORY)


def test_a_statement_from_the_future_is_refused_but_for_the_skew_of_clocks() -> None:
    statement.check_time(SIGNED, NOW - statement.MAX_SKEW)
    statement.check_time(SIGNED, NOW + 10**9)
    refused = refusal(statement.check_time, SIGNED, NOW - statement.MAX_SKEW - 1)
    assert (refused.check, refused.got) == ("provenance.time", "a statement signed 301 seconds from now")


def test_a_statement_is_about_the_file_that_was_asked_for() -> None:
    assert statement.check_subject(SIGNED, DIGEST) == SUBJECT
    assert refusal(statement.check_subject, SIGNED, "00" * 32).check == "provenance.subject"
