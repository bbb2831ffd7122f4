"""Where software comes from: who may have built it (policy), and what a verified attestation of a build says (a value).

A statement is verified where the network is (`net/provenance.py`); appraisal takes it as a value and only compares.
"""

from typing import Any

import msgspec


class BuildIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A workflow of a GitHub repository, as Sigstore certifies it. Every field is compared as a whole, never searched for."""

    repository: str  # owner/name
    workflow: str  # path in the repository, .github/workflows/release.yml
    ref: str = "refs/tags/*"  # a final * stands for one name without a slash; nothing else has a meaning
    issuer: str = "https://token.actions.githubusercontent.com"


class ProvenancePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may vouch for reference values and images."""

    builds: tuple[BuildIdentity, ...] = ()  # accepted builders
    signers: tuple[str, ...] = ()  # Ed25519 public keys, 64 hex, of reference-value files
    witness: BuildIdentity | None = None  # who must have said lately that the release is the current one
    max_witness_seconds: int = 7 * 86400
    require_images: bool = False  # every image of the compose file must be pinned by digest and built by one of `builds`


class VerifiedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """An in-toto statement whose signature, certificate and log entry were verified."""

    repository: str
    workflow: str
    ref: str
    issuer: str
    signed_at: int  # Unix seconds, by the log or the timestamp authority
    subjects: dict[str, str]  # name -> SHA-256, 64 hex
    predicate_type: str
    predicate: dict[str, Any]
