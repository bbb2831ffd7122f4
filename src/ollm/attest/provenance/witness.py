"""Freshness witnesses: somebody says, again and again, which release is the current one; who is silent for too long has revoked it.

    {"format": "https://tinfoil.sh/predicate/freshness-witness/v1",
     "endorses": {"repo": "owner/name", "tag": "v1.2.0", "commit": "40 hex",
                  "subject": {"name": "release.json", "digest": "sha256:…"}}}

The statement has no time of its own: what counts is when the log, or the timestamp authority, saw it. A signed release alone never
ends, so whoever answers with an old one could roll software back to a version with known holes.

Source: tinfoilsh/freshness-witness, README.md.
"""

from collections.abc import Sequence

import msgspec

from ollm.attest.provenance import identity
from ollm.errors import EvidenceRefused
from ollm.values.provenance import CertifiedBuild, ProvenancePolicy, Subject, VerifiedStatement
from ollm.values.structs import resolved

WITNESS = "https://tinfoil.sh/predicate/freshness-witness/v1"

_CHECK = "provenance.witness"


class _Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    digest: str


class _Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repo: str
    tag: str
    commit: str
    subject: _Subject


@resolved
class _Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    endorses: _Release


def is_witness(statement: VerifiedStatement) -> bool:
    """Whether `statement` is of the type by which a witness speaks."""
    return statement.predicate_type == WITNESS


def check_fresh(release: VerifiedStatement, witnesses: Sequence[VerifiedStatement], policy: ProvenancePolicy, now: int) -> int:
    """The policy's witness endorsed `release` lately; until when that counts, Unix seconds.

    Raises: EvidenceRefused with provenance.witness, and with provenance.identity for a witness by somebody else.
    """
    if policy.witness is None:
        raise EvidenceRefused(_CHECK, "a policy without a witness", "one that names it")
    endorsing = [statement for statement in witnesses if _endorses(_read(statement), statement, release)]
    if not endorsing:
        raise EvidenceRefused(_CHECK, f"no witness of {release.by}", f"one by {policy.witness.repository}")
    latest = max(endorsing, key=lambda statement: statement.signed_at)
    until = latest.signed_at + policy.max_witness_seconds
    if now >= until:
        raise EvidenceRefused(_CHECK, f"a witness that spoke {now - latest.signed_at} seconds ago", f"less than {policy.max_witness_seconds}")
    return until


def check_witness(statement: VerifiedStatement, policy: ProvenancePolicy) -> None:
    """`statement` was made by the policy's witness. Raises: EvidenceRefused with provenance.identity."""
    if not isinstance(statement.by, CertifiedBuild) or policy.witness is None:
        raise EvidenceRefused("provenance.identity", f"a witness that is {statement.by}", "the build that the policy names as its witness")
    identity.check_build(statement.by, (policy.witness,))


def _read(statement: VerifiedStatement) -> _Release:
    try:
        witness = msgspec.convert(statement.predicate, _Witness)
    except msgspec.ValidationError:
        raise EvidenceRefused(_CHECK, "a witness of another form", "format and endorses") from None
    if witness.format != WITNESS:
        raise EvidenceRefused(_CHECK, "a witness of another format", WITNESS)
    return witness.endorses


def _endorses(endorsed: _Release, witness: VerifiedStatement, release: VerifiedStatement) -> bool:
    """Repository, tag, commit and subject are those of `release`, and the witness's own subject is that very file too."""
    if not isinstance(release.by, CertifiedBuild):
        return False
    subject = Subject(endorsed.subject.name, endorsed.subject.digest.removeprefix("sha256:"))
    return (
        endorsed.repo == release.by.repository
        and f"refs/tags/{endorsed.tag}" == release.by.ref
        and endorsed.commit == release.by.commit
        and endorsed.subject.digest == f"sha256:{subject.sha256}"
        and subject in release.subjects
        and subject in witness.subjects
    )
