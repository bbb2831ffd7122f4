"""in-toto statements: bytes to fields, and what appraisal compares of them.

    {"_type": "https://in-toto.io/Statement/v1",
     "subject": [{"name": "image.tar", "digest": {"sha256": "…"}}, …],
     "predicateType": "https://slsa.dev/provenance/v1",
     "predicate": {…}}

in-toto asks readers to ignore members that they don't know. Here they are refused: what is signed and what is understood are the same.

Source: in-toto attestation framework v1, spec/v1/statement.md and resource_descriptor.md.
"""

import re
from typing import Any

import msgspec

from ollm.attest import strict_json
from ollm.attest.provenance import identity
from ollm.errors import EvidenceRefused
from ollm.values.provenance import CertifiedBuild, ProvenancePolicy, Subject, VerifiedStatement

MAX_STATEMENT = 1024 * 1024  # GitHub's builds state some KB; 1024 subjects are 0.2 MB
MAX_SUBJECTS = 1024  # as many as GitHub's action signs at once
MAX_SKEW = 300  # seconds that our clock may be behind the log's
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

_CHECK = "provenance.statement"
_MEMBERS = {"_type", "subject", "predicateType", "predicate"}
_SUBJECT_MEMBERS = {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
_HEX32 = re.compile(r"[0-9a-f]{64}")
_TYPE = re.compile(r"[\x21-\x7e]{1,256}")


class Statement(msgspec.Struct, frozen=True):
    """A statement as it was signed."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]


def parse(payload: bytes) -> Statement:
    """Read a statement. Raises: EvidenceRefused with provenance.statement."""
    document = strict_json.parse(payload, limit=MAX_STATEMENT, check=_CHECK)
    if not isinstance(document, dict) or set(document) != _MEMBERS:
        raise EvidenceRefused(_CHECK, "other members than a statement has", ", ".join(sorted(_MEMBERS)))
    if document["_type"] != STATEMENT_TYPE:
        raise EvidenceRefused(_CHECK, "a statement of another version", STATEMENT_TYPE)
    subjects, kind, predicate = document["subject"], document["predicateType"], document["predicate"]
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise EvidenceRefused(_CHECK, "a predicateType that is no URI", "a URI")
    if not isinstance(predicate, dict):
        raise EvidenceRefused(_CHECK, "a predicate that is no object", "an object")
    if not isinstance(subjects, list) or not 0 < len(subjects) <= MAX_SUBJECTS:
        raise EvidenceRefused(_CHECK, "no list of subjects, or too long a one", f"1 to {MAX_SUBJECTS}")
    return Statement(tuple(_subject(subject) for subject in subjects), kind, predicate)


def check_admitted(statement: VerifiedStatement, policy: ProvenancePolicy) -> None:
    """`statement` was made by one of the policy's builds, or with one of its keys. Raises: EvidenceRefused with provenance.identity."""
    if isinstance(statement.by, CertifiedBuild):
        identity.check_build(statement.by, policy.builds)
    elif statement.by.public_key not in policy.signers:
        raise EvidenceRefused("provenance.identity", f"key {statement.by.public_key}", "a key of the policy's `signers`")


def check_time(statement: VerifiedStatement, now: int) -> None:
    """`statement` isn't from the future. Raises: EvidenceRefused with provenance.time."""
    if statement.signed_at > now + MAX_SKEW:
        raise EvidenceRefused("provenance.time", f"a statement signed {statement.signed_at - now} seconds from now", f"at most {MAX_SKEW}")


def check_subject(statement: VerifiedStatement, sha256: str) -> Subject:
    """The subject of `statement` with that digest, lowercase hex. Raises: EvidenceRefused with provenance.subject."""
    for subject in statement.subjects:
        if subject.sha256 == sha256:
            return subject
    raise EvidenceRefused("provenance.subject", f"a statement about {statement.subjects[0].sha256}", sha256)


def _subject(document: object) -> Subject:
    if not isinstance(document, dict) or not set(document) <= _SUBJECT_MEMBERS:
        raise EvidenceRefused(_CHECK, "a subject with other members than a resource has", ", ".join(sorted(_SUBJECT_MEMBERS)))
    name, digest = document.get("name", ""), document.get("digest")
    sha256 = digest.get("sha256") if isinstance(digest, dict) else None
    if not isinstance(sha256, str) or not _HEX32.fullmatch(sha256):
        raise EvidenceRefused(_CHECK, "a subject without a digest", "SHA-256 as 64 lowercase hex")
    if not isinstance(name, str):
        raise EvidenceRefused(_CHECK, "a subject whose name is no text", "a text")
    return Subject(name, sha256)
