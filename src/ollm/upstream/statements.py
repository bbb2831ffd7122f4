"""Statements that came with evidence, or that somebody handed in: verified here, before anything rests on them."""

from collections.abc import Callable, Sequence

from ollm.attest.provenance import envelope
from ollm.errors import EvidenceRefused
from ollm.net.provenance import verify_bundle
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import VerifiedStatement

MAX_STATEMENTS = 64


def verified_statements(statements: Sequence[bytes], policy: AttestationPolicy, trust_root: bytes | None) -> tuple[VerifiedStatement, ...]:
    """What was said in each of `statements`, Sigstore bundles or signed files of values; none where `policy` hears nobody.

    `trust_root` is Sigstore's. Raises: EvidenceRefused for one that is not genuine, ConfigError without the library.
    """
    if policy.provenance is None:
        return ()
    if len(statements) > MAX_STATEMENTS:
        raise EvidenceRefused("provenance.bundle", f"{len(statements)} statements", f"at most {MAX_STATEMENTS}")
    return tuple(verified_statement(each, policy, lambda: trust_root) for each in statements)


def verified_statement(statement: bytes, policy: AttestationPolicy, trust_root: Callable[[], bytes | None]) -> VerifiedStatement:
    """What was said in one; `trust_root` is asked only for a bundle. Raises: as `verified_statements`, and what `trust_root` raises."""
    if b'"mediaType"' not in statement:
        return envelope.verify(statement, policy.provenance.signers if policy.provenance is not None else ())
    root = trust_root()
    if root is None:
        raise EvidenceRefused("provenance.trust_root", "none", "Sigstore's, to verify a bundle")
    return verify_bundle(statement, root)
