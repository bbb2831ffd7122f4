"""Which genuine SEV-SNP guests are wanted: policy of the guest, firmware, machine, measurements. Each function is one check.

Guest policy bits: AMD 56860, GUEST_POLICY. The guest's owner chose them at launch and the firmware enforces them.
"""

from datetime import UTC, datetime

import msgspec

from ollm.attest.sevsnp.endorsement import Endorsement
from ollm.attest.sevsnp.layout import SnpReport
from ollm.attest.sevsnp.product import Tcbs, at_least, tcb_text
from ollm.errors import EvidenceRefused
from ollm.values.policy import SnpGrace, SnpPolicy, SnpReferenceValues, SnpTcb

_SMT = 1 << 16
_MUST_BE_ONE = 1 << 17
_MIGRATE_MA = 1 << 18
_DEBUG = 1 << 19
_SINGLE_SOCKET = 1 << 20
_DEFINED = (1 << 26) - 1  # ABI version, the bits above, and since: CXL, AES-256-XTS, RAPL, ciphertext hiding, page swap
_NO_MIGRATION_AGENT = b"\xff" * 32  # REPORT_ID_MA of a guest that has none


def check_policy_bits(report: SnpReport) -> None:
    """Bit 17 is one, and no bit is set whose meaning is unknown: it might allow the host something. Raises: EvidenceRefused."""
    if not report.policy & _MUST_BE_ONE or report.policy & ~_DEFINED:
        raise EvidenceRefused("snp.policy_bits", f"guest policy {report.policy:#x}", "bit 17 set, none from bit 26 on")


def check_debug(report: SnpReport) -> None:
    """The host can read and write the memory of a guest whose policy allows debugging. Raises: EvidenceRefused."""
    if report.policy & _DEBUG:
        raise EvidenceRefused("snp.debug", "debugging allowed", "a production guest")


def check_migration(report: SnpReport, policy: SnpPolicy) -> None:
    """A migration agent may export the guest's memory to a machine other than the one attested. Raises: EvidenceRefused."""
    if policy.allow_migration_agent:
        return
    if report.policy & _MIGRATE_MA:
        raise EvidenceRefused("snp.migration", "a migration agent allowed", "a guest bound to its machine")
    if report.report_id_ma != _NO_MIGRATION_AGENT:
        raise EvidenceRefused("snp.migration", f"a migration agent, {report.report_id_ma.hex()}", "none")


def check_smt(report: SnpReport, policy: SnpPolicy) -> None:
    """With SMT, a core's other thread shares caches with the guest. Raises: EvidenceRefused."""
    if report.policy & _SMT and not policy.allow_smt:
        raise EvidenceRefused("snp.smt", "SMT allowed by the guest's policy", "forbidden there")


def check_single_socket(report: SnpReport, policy: SnpPolicy) -> None:
    """On more than one socket, memory traffic leaves the package. Raises: EvidenceRefused."""
    if policy.require_single_socket and not report.policy & _SINGLE_SOCKET:
        raise EvidenceRefused("snp.single_socket", "more than one socket allowed by the guest's policy", "one only")


def check_vmpl(report: SnpReport, policy: SnpPolicy) -> None:
    """The report was asked for at a privilege level of the guest that the policy lists; 0 is the highest. Raises: EvidenceRefused.

    What runs at a lower level may be less than what was measured, and 0xFFFFFFFF is the hypervisor asking, not the guest.
    """
    if report.vmpl not in policy.vmpls:
        raise EvidenceRefused("snp.vmpl", str(report.vmpl), " or ".join(map(str, policy.vmpls)) or "none")


def check_author_key(report: SnpReport) -> None:
    """An author key's digest stands there exactly when AUTHOR_KEY_EN says so. Raises: EvidenceRefused."""
    if report.author_key_enabled != any(report.author_key_digest):
        said = "set" if report.author_key_enabled else "clear"
        raise EvidenceRefused("snp.author_key", f"AUTHOR_KEY_EN {said}, digest {report.author_key_digest.hex()}", "a digest exactly when it is set")


def check_product_accepted(leaf: Endorsement, policy: SnpPolicy) -> None:
    """The product line is one that the policy lists. Raises: EvidenceRefused."""
    if leaf.product not in policy.products:
        raise EvidenceRefused("snp.product_accepted", leaf.product, " or ".join(policy.products) or "none")


def check_provider(leaf: Endorsement, policy: SnpPolicy) -> None:
    """A VLEK says that some machine of a provider signed, not which: only where the policy allows it, and for listed providers.

    Raises: EvidenceRefused.
    """
    if leaf.csp_id is None:
        return
    if not policy.allow_vlek:
        raise EvidenceRefused("snp.provider", f"a provider's key (VLEK) of {leaf.csp_id[:80]!a}", "a key of the chip (VCEK)")
    if leaf.csp_id not in policy.vlek_csp_ids:
        raise EvidenceRefused("snp.provider", f"a provider's key (VLEK) of {leaf.csp_id[:80]!a}", " or ".join(policy.vlek_csp_ids) or "no provider")


def check_chip_listed(report: SnpReport, policy: SnpPolicy) -> None:
    """The chip is one of the machines that the policy lists; one whose id is masked is none of them. Raises: EvidenceRefused."""
    chip = chip_name(report)
    if policy.chips is not None and chip not in {listed.lower() for listed in policy.chips}:
        raise EvidenceRefused("snp.chip_listed", chip or "a masked chip id", "a chip that the policy lists")


def chip_name(report: SnpReport) -> str | None:
    """The chip id in hex, as policies list it; None where it is masked."""
    return report.chip_id.hex() if any(report.chip_id) else None


def check_tcb_order(report: SnpReport, tcbs: Tcbs) -> None:
    """Reported ≤ committed ≤ current in each component, and so are the firmware's versions (AMD, SEV-SNP attestation: establishing
    trust in guests). LAUNCH_TCB is in no such order: firmware can be rolled back to the committed one after the launch.

    Raises: EvidenceRefused.
    """
    check = "snp.tcb_order"
    if not at_least(tcbs.committed, tcbs.reported):
        raise EvidenceRefused(check, f"committed {tcb_text(tcbs.committed)}", f"at least the reported {tcb_text(tcbs.reported)}")
    if not at_least(tcbs.current, tcbs.committed):
        raise EvidenceRefused(check, f"current {tcb_text(tcbs.current)}", f"at least the committed {tcb_text(tcbs.committed)}")
    if report.current_version < report.committed_version:
        raise EvidenceRefused(check, f"firmware {report.current_version.text}", f"at least the committed {report.committed_version.text}")


def check_tcb(tcbs: Tcbs, product: str, policy: SnpPolicy, now: int) -> SnpGrace | None:
    """The lowest of all four TCBs is at least the policy's minimum, or that of a grace that lasts; then that grace.

    Each of them can be the weak one: with the reported TCB's key the report was signed, to the committed TCB the operator can roll
    back at any time, under the launch TCB the guest's memory was set up, and the current TCB guards it now. Raises: EvidenceRefused.
    """
    lowest, minimum = tcbs.lowest, policy.min_tcb.get(product, SnpTcb())
    if at_least(lowest, minimum):
        return None
    lasting = [grace for grace in policy.grace if grace.product == product and at_least(lowest, grace.min_tcb) and now < grace_end(grace)]
    if not lasting:
        raise EvidenceRefused("snp.tcb", tcb_text(lowest), f"at least {tcb_text(minimum)} on {product}")
    return max(lasting, key=grace_end)


def grace_end(grace: SnpGrace) -> int:
    """The first second at which `grace` is over."""
    return int(datetime(grace.until.year, grace.until.month, grace.until.day, tzinfo=UTC).timestamp())


def matching_reference_values(report: SnpReport, accepted: tuple[SnpReferenceValues, ...]) -> tuple[SnpReferenceValues, ...]:
    """Those of `accepted` whose every stated value the report has; at least one. Raises: EvidenceRefused."""
    matching = tuple(values for values in accepted if not _differences(report, values))
    if not matching:
        raise EvidenceRefused("snp.reference_values", _nearest(report, accepted), "equal in all")
    return matching


def _nearest(report: SnpReport, accepted: tuple[SnpReferenceValues, ...]) -> str:
    if not accepted:
        return "no reference values in the policy"
    differing, values = min(((_differences(report, values), values) for values in accepted), key=lambda pair: len(pair[0]))
    return f"{', '.join(differing)} other than in {values.name}"


def _differences(report: SnpReport, values: SnpReferenceValues) -> list[str]:
    stated = msgspec.structs.asdict(values)
    compared = ("measurement", "host_data", "id_key_digest", "author_key_digest", "family_id", "image_id")
    differing = [name for name in compared if stated[name] is not None and getattr(report, name).hex() != stated[name]]
    return differing + (["guest_svn"] if report.guest_svn < values.min_guest_svn else [])
