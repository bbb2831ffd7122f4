"""The steps of appraising an SEV-SNP report: is it genuine, and are its machine and what was launched there wanted.

Its report data are not judged here, but by whoever knows what the machine was asked to state.
"""

from ollm.attest import certificates
from ollm.attest.checks import Trail
from ollm.attest.evidence import SnpCollateral, SnpEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.sevsnp import checks as snp_checks
from ollm.attest.sevsnp import facts, genuine, layout, product, wanted
from ollm.values.policy import SnpPolicy, SnpReferenceValues

PLAN = tuple(snp_checks.CHECKS)


def plan(policy: SnpPolicy, *, compare: bool = True) -> tuple[str, ...]:
    """Names of the checks that `policy` demands, in order; `compare`: measurements are to equal reference values too."""
    optional = {"snp.revocation": policy.require_crl, "snp.chip_listed": policy.chips is not None, "snp.reference_values": compare}
    return tuple(name for name in PLAN if optional.get(name, True))


def genuine_report(trail: Trail, evidence: SnpEvidence, collateral: SnpCollateral, policy: SnpPolicy, now: int, *, compare: bool = True) -> CpuFacts:
    """A genuine report of a wanted guest at `now` (Unix seconds). `trail` is one of `plan`. Raises: EvidenceRefused."""
    # 1. Read every byte of the report, and what AMD says about its signer.
    report = trail.step("snp.format", layout.parse_report, evidence.report)
    endorsements = genuine.read_collateral(collateral)
    leaf = endorsements.leaf
    trail.passed("snp.collateral", "snp.certificate")

    # 2. The one kind of hardware that the policy admits; and certificate and report are about the same kind of key and CPU.
    root = genuine.root_of(policy)
    trail.step("platform.marker", certificates.check_marker, leaf.certificate, simulated=root.simulated)
    trail.step("snp.signing_key", genuine.check_signing_key, report, leaf)
    trail.step("snp.product", genuine.check_product, report, leaf)

    # 3. From the pinned root to the signing key: certified, valid now, not revoked.
    trail.step("snp.root", genuine.check_root, endorsements, root)
    trail.step("snp.chain", genuine.check_chain, endorsements)
    trail.step("snp.validity", certificates.check_periods, endorsements.periods, now, "snp.validity")
    if policy.require_crl or endorsements.crl is not None:  # a CRL that is there counts, demanded or not
        trail.step("snp.revocation", genuine.check_revocation, endorsements)

    # 4. That key is this chip's, at this firmware, and signed this report.
    trail.step("snp.chip", genuine.check_chip, report, leaf)
    trail.step("snp.endorsed_tcb", genuine.check_endorsed_tcb, report, leaf)
    trail.step("snp.signature", genuine.check_signature, report, leaf)

    # 5. The guest's owner gave it a policy that keeps the host out.
    trail.step("snp.policy_bits", wanted.check_policy_bits, report)
    trail.step("snp.debug", wanted.check_debug, report)
    trail.step("snp.migration", wanted.check_migration, report, policy)
    trail.step("snp.smt", wanted.check_smt, report, policy)
    trail.step("snp.single_socket", wanted.check_single_socket, report, policy)
    trail.step("snp.vmpl", wanted.check_vmpl, report, policy)
    trail.step("snp.author_key", wanted.check_author_key, report)

    # 6. The machine and its firmware are wanted.
    trail.step("snp.product_accepted", wanted.check_product_accepted, leaf, policy)
    trail.step("snp.provider", wanted.check_provider, leaf, policy)
    trail.step("snp.chip_listed", wanted.check_chip_listed, report, policy)
    tcbs = trail.step("snp.tcb_format", product.read_tcbs, report, leaf.product)
    trail.step("snp.tcb_order", wanted.check_tcb_order, report, tcbs)
    grace = trail.step("snp.tcb", wanted.check_tcb, tcbs, leaf.product, policy, now)

    # 7. So is what was launched.
    matching: tuple[SnpReferenceValues, ...] = ()
    if compare:
        matching = trail.step("snp.reference_values", wanted.matching_reference_values, report, policy.reference_values)

    ends = [period.end for period in endorsements.periods]
    return facts.cpu_facts(
        report,
        leaf,
        tcbs,
        policy,
        grace=grace,
        matching=matching,
        valid_until=min(ends if grace is None else [*ends, wanted.grace_end(grace)]),
        revocation_checked=endorsements.crl is not None,
    )
