"""Where software comes from: who may vouch for it (policy), and what somebody vouched for (a value).

A statement is verified where the libraries and the network are (`net/provenance.py`, `attest/provenance/envelope.py`); appraisal takes it
as a value and only compares.
"""

from typing import Any, TypeAlias

import msgspec


class BuildIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A workflow of a GitHub repository, as Sigstore certifies it. Every field is compared as a whole, upper and lower case apart."""

    repository: str  # owner/name
    workflow: str  # path in the repository, .github/workflows/release.yml
    ref: str = "refs/tags/*"  # a final * stands for one name without a slash; nothing else has a meaning
    issuer: str = "https://token.actions.githubusercontent.com"
    signer: str | None = None  # owner/name/path@ref of the reusable workflow that signs for `workflow`; None: `workflow` signs itself
    repository_id: str | None = None  # GitHub's number: a deleted name can be registered anew, a number can't; None: not compared
    triggers: tuple[str, ...] = ("push", "release", "schedule", "workflow_dispatch")  # events that nobody but a writer can cause
    self_hosted: bool = False  # whether a machine that isn't GitHub's may have built


class ProvenancePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may vouch for reference values and images."""

    builds: tuple[BuildIdentity, ...] = ()  # accepted builders
    signers: tuple[str, ...] = ()  # Ed25519 public keys, 64 hex, of reference-value files
    witness: BuildIdentity | None = None  # who must have said lately that the release is the current one
    max_witness_seconds: int = 7 * 86400
    require_images: bool = False  # every image of the compose file must be pinned by digest and built by one of `builds`


class CertifiedBuild(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """What Sigstore's CA certified of the build that signed, as GitHub's token told it."""

    repository: str  # owner/name
    workflow: str  # the workflow that was started, a path in `repository`
    ref: str  # the branch or tag that was built
    issuer: str
    signer: str  # owner/name/path@ref of the workflow that signed
    commit: str  # 40 hex
    trigger: str  # the event that started it
    runner: str  # github-hosted or self-hosted
    repository_id: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.workflow}@{self.ref}"


class SigningKey(msgspec.Struct, frozen=True, kw_only=True, tag="key"):
    """A key that a policy names."""

    public_key: str  # Ed25519, 64 hex

    def __str__(self) -> str:
        return f"key {self.public_key}"


Signer: TypeAlias = CertifiedBuild | SigningKey


class Subject(msgspec.Struct, frozen=True):
    """What a statement is about."""

    name: str
    sha256: str  # 64 hex


class VerifiedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """An in-toto statement whose signature was verified, with the certificate and log entry of a build. Nobody has accepted `by` yet."""

    by: Signer
    signed_at: int  # Unix seconds: by the log or the timestamp authority; of a key, by its own word
    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]
