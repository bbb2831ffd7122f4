"""What a genuine SEV-SNP report says about its machine, for claims and for people."""

from ollm.attest.facts import CpuFacts
from ollm.attest.sevsnp.endorsement import Endorsement
from ollm.attest.sevsnp.layout import SnpReport
from ollm.attest.sevsnp.product import Tcbs, tcb_text
from ollm.attest.sevsnp.wanted import chip_name
from ollm.values.checks import UNKNOWN, Claim
from ollm.values.policy import SnpGrace, SnpPolicy, SnpReferenceValues

# PLATFORM_INFO. Not judged, and unknown bits not refused: they describe the platform, grant the host nothing, and new firmware sets new
# ones (a genuine Turin sets bit 6, which AMD's ABI 1.58 still reserves).
_PLATFORM_BITS = ("smt", "tsme", "ecc", "rapl_disabled", "ciphertext_hiding", "alias_check_complete", "", "tio")

_WARNED = {"Milan": "a published work (arXiv 2605.12990) says that software can extract these chips' keys, with which any report can be forged"}


def cpu_facts(
    report: SnpReport,
    leaf: Endorsement,
    tcbs: Tcbs,
    policy: SnpPolicy,
    *,
    grace: SnpGrace | None,
    matching: tuple[SnpReferenceValues, ...],
    valid_until: int,
    revocation_checked: bool,
) -> CpuFacts:
    """The facts of a report that passed every check of its plan."""
    simulated = policy.simulated_root_sha256 is not None
    attested = Claim("asserted", "hardware_proven", "AMD SEV-SNP report verified to AMD's root")
    return CpuFacts(
        technology="sev-snp",
        identity=report.identity,
        report_data=report.report_data,
        hardware_id=chip_name(report),
        attested=Claim("refuted", "verifier_derived", "simulated") if simulated else attested,
        tcb=UNKNOWN if simulated else _tcb_claim(tcbs, leaf.product, policy, grace),  # a simulated platform's TCB says nothing of any hardware
        matching=matching,
        facts=_facts(report, leaf, tcbs),
        warnings=tuple(_warnings(leaf, policy, grace, revocation_checked=revocation_checked)),
        valid_until=valid_until,
    )


def _tcb_claim(tcbs: Tcbs, product: str, policy: SnpPolicy, grace: SnpGrace | None) -> Claim:
    """AMD publishes no list of current firmware, so without a minimum of the policy nothing is said."""
    if product not in policy.min_tcb:
        return UNKNOWN
    reason = f"lowest of reported, committed, launch and current: {tcb_text(tcbs.lowest)}"
    if grace is not None:
        return Claim("refuted", "verifier_derived", f"below the policy's minimum, within its grace; {reason}")
    return Claim("asserted", "verifier_derived", f"at least the policy's minimum; {reason}")


def _facts(report: SnpReport, leaf: Endorsement, tcbs: Tcbs) -> dict[str, str]:
    facts = {
        "product": leaf.product,
        "signing_key": leaf.signing_key,
        "report_version": str(report.version),
        "measurement": report.measurement.hex(),
        "host_data": report.host_data.hex(),
        "id_key_digest": report.id_key_digest.hex(),
        "author_key_digest": report.author_key_digest.hex(),
        "guest_svn": str(report.guest_svn),
        "guest_policy": f"{report.policy:#x}",
        "vmpl": str(report.vmpl),
        "reported_tcb": tcb_text(tcbs.reported),
        "committed_tcb": tcb_text(tcbs.committed),
        "launch_tcb": tcb_text(tcbs.launch),
        "current_tcb": tcb_text(tcbs.current),
        "platform_info": _platform_info(report.platform_info),
    }
    if leaf.csp_id is not None:
        facts["csp_id"] = leaf.csp_id
    if report.mitigations is not None:
        facts["mitigations"] = f"launch {report.mitigations.launch:#x}, current {report.mitigations.current:#x}"
    return facts


def _platform_info(bits: int) -> str:
    named = [name for index, name in enumerate(_PLATFORM_BITS) if name and bits >> index & 1]
    return " ".join([f"{bits:#x}", *named])


def _warnings(leaf: Endorsement, policy: SnpPolicy, grace: SnpGrace | None, *, revocation_checked: bool) -> list[str]:
    warnings = []
    if leaf.product in policy.warned_products:
        warnings.append(f"AMD {leaf.product}: {_WARNED.get(leaf.product, 'the policy warns of this product line')}")
    if grace is not None:
        warnings.append(f"AMD {leaf.product}: firmware below the policy's minimum, accepted until {grace.until} ({grace.reason})")
    if not revocation_checked:
        warnings.append(f"AMD {leaf.product}: no CRL was there, so revocation was not checked")
    return warnings
