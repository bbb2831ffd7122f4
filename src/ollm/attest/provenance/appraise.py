"""Provenance as an appraisal: statements, policy and time in; the policy with the values that they vouch for out.

The statements were verified before (`net/provenance.py`, `envelope.verify`); here it is judged whether anybody asked for them. Each
must be by an admitted signer: one that is not makes the whole refused, because whoever adds statements of strangers wants something.
"""

from collections.abc import Sequence

import msgspec

from ollm.attest.checks import Trail
from ollm.attest.provenance import images, reference_values, witness
from ollm.attest.provenance import statement as statements_
from ollm.errors import EvidenceRefused
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import CertifiedBuild, ProvenancePolicy, VerifiedStatement

_STATEMENTS = ("provenance.identity", "provenance.time", "provenance.reference_values")
_IMAGES = ("provenance.compose", "provenance.images_pinned", "provenance.images")


class ProvenanceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What statements of admitted signers came to."""

    policy: AttestationPolicy  # with the reference values that they vouch for
    statements: tuple[VerifiedStatement, ...] = ()  # the admitted ones, witnesses left out
    warnings: tuple[str, ...] = ()
    valid_until: int | None = None  # Unix seconds: the first end of a witness or of a file of values; None: nothing ends


def plan(policy: AttestationPolicy) -> tuple[str, ...]:
    """The checks that `policy` demands, in order; none without a provenance table."""
    if policy.provenance is None:
        return ()
    wanted = {"provenance.witness": policy.provenance.witness is not None, **dict.fromkeys(_IMAGES, policy.provenance.require_images)}
    return tuple(name for name in (*_STATEMENTS, "provenance.witness", *_IMAGES) if wanted.get(name, True))


def appraise(
    trail: Trail, statements: Sequence[VerifiedStatement], policy: AttestationPolicy, now: int, *, app_compose: str | None = None
) -> ProvenanceFacts:
    """Judge `statements` at `now` (Unix seconds). `app_compose` is the file that the machine measured. Raises: EvidenceRefused.

    Reference values are for the appraisal that follows; `app_compose` counts only once that appraisal has shown that it was measured.
    """
    provenance = policy.provenance
    if provenance is None:
        return ProvenanceFacts(policy=policy)

    # 1. Every statement is by somebody whom the policy admits, and not from the future.
    admitted, witnesses = trail.step("provenance.identity", _admitted, statements, provenance)
    for statement in (*admitted, *witnesses):
        statements_.check_time(statement, now)

    # 2. What they measured is complete, and has not ended.
    vouching = tuple(statement for statement in admitted if reference_values.carries_values(statement))
    found = tuple(reference_values.measured(statement, now) for statement in vouching)
    trail.passed("provenance.time")
    extended = trail.step("provenance.reference_values", reference_values.with_values, policy, found)
    ends = [values.ends for values in found if values.ends is not None]

    # 3. The releases that vouch for values are the current ones.
    if provenance.witness is not None:
        releases = tuple(statement for statement in vouching if isinstance(statement.by, CertifiedBuild))
        ends += trail.step("provenance.witness", _fresh, releases, witnesses, provenance, now)

    # 4. Every image was built by an admitted build.
    warnings = _images(trail, admitted, app_compose) if provenance.require_images else ()

    return ProvenanceFacts(policy=extended, statements=admitted, warnings=warnings, valid_until=min(ends, default=None))


def augmented(policy: AttestationPolicy, statements: Sequence[VerifiedStatement], now: int) -> AttestationPolicy:
    """`policy` with the values that `statements` vouch for; as it is when it has no provenance table.

    Images are not looked at. Raises: EvidenceRefused, for a statement by a builder who is not admitted too.
    """
    if policy.provenance is None:
        return policy
    values_only = msgspec.structs.replace(policy, provenance=msgspec.structs.replace(policy.provenance, require_images=False))
    facts = appraise(Trail(plan(values_only)), statements, values_only, now)
    return msgspec.structs.replace(facts.policy, provenance=policy.provenance)


def _admitted(
    statements: Sequence[VerifiedStatement], policy: ProvenancePolicy
) -> tuple[tuple[VerifiedStatement, ...], tuple[VerifiedStatement, ...]]:
    """The statements, and the witnesses among them; a policy without a witness doesn't hear any."""
    witnesses = tuple(statement for statement in statements if witness.is_witness(statement) and policy.witness is not None)
    others = tuple(statement for statement in statements if not witness.is_witness(statement))
    for statement in others:
        statements_.check_admitted(statement, policy)
    for statement in witnesses:
        witness.check_witness(statement, policy)
    return others, witnesses


def _fresh(releases: Sequence[VerifiedStatement], witnesses: Sequence[VerifiedStatement], policy: ProvenancePolicy, now: int) -> list[int]:
    """Until when each release counts as the current one; a policy that demands a witness needs a release that it could endorse."""
    if not releases:
        raise EvidenceRefused("provenance.witness", "no release with measured values", "one, and a witness of it")
    return [witness.check_fresh(release, witnesses, policy, now) for release in releases]


def _images(trail: Trail, admitted: Sequence[VerifiedStatement], app_compose: str | None) -> tuple[str, ...]:
    if app_compose is None:
        raise EvidenceRefused("provenance.compose", "no app-compose", "the one that was measured")
    found = trail.step("provenance.compose", images.read, app_compose)
    trail.step("provenance.images_pinned", images.check_pinned, found)
    trail.step("provenance.images", images.check_built, found, admitted)
    return tuple(f"{name} of the compose file runs in the machine and may start what was not judged" for name in found.unjudged)
