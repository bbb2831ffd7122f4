"""Which genuine TDX platforms are wanted: attributes of the TD, TCB status, measurements. Each function is one check.

Attribute bits: Intel TDX Module ABI, TD_ATTRIBUTES; the verifying library checks some of them too, but only inside its one verdict.
"""

import datetime

from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import Header, TdReport
from ollm.errors import EvidenceRefused
from ollm.values.policy import Grace, TdxPolicy, TdxReferenceValues

INTEL_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")

_DEBUG = 1 << 0
_LASS = 1 << 27  # linear address space separation inside the TD
_SEPT_VE_DISABLE = 1 << 28
_MIGRATABLE = 1 << 29
_PKS = 1 << 30  # supervisor protection keys inside the TD
_KL = 1 << 31  # key locker inside the TD
_PERFMON = 1 << 63  # performance counters inside the TD
_DEFINED = _DEBUG | _LASS | _SEPT_VE_DISABLE | _MIGRATABLE | _PKS | _KL | _PERFMON

# XFAM: a bit for each component of CPU state that the TD may use. Module ABI, XFAM; the masks are the module's own for versions 1.0 to 2.0.
_XFAM_ALWAYS = 0x3  # x87 and SSE
_XFAM_DEFINED = 0x6DBE7  # AVX, AVX-512, PT, PKRU, CET, UINTR, LBR and AMX besides
_XFAM_AVX, _XFAM_AVX512, _XFAM_CET, _XFAM_AMX = 1 << 2, 0b111 << 5, 0b11 << 11, 0b11 << 17

_EPOCH = datetime.date(1970, 1, 1)
_DAY = 86_400


def check_header(header: Header) -> None:
    """The quote is by Intel's quoting enclave and its reserved bytes are zero. Raises: EvidenceRefused."""
    if header.qe_vendor_id != INTEL_QE_VENDOR:
        raise EvidenceRefused("quote.header", f"QE vendor {header.qe_vendor_id.hex()}", INTEL_QE_VENDOR.hex())
    if any(header.reserved):
        raise EvidenceRefused("quote.header", f"reserved bytes {header.reserved.hex()}", "zero")


def check_debug(report: TdReport) -> None:
    """The host can read and write a TD in debug mode. Raises: EvidenceRefused."""
    if _attributes(report) & _DEBUG:
        raise EvidenceRefused("quote.debug", "debug mode", "a production TD")


def check_sept_ve_disable(report: TdReport) -> None:
    """Without it the host can raise exceptions in the TD by unmapping its pages. Raises: EvidenceRefused."""
    if not _attributes(report) & _SEPT_VE_DISABLE:
        raise EvidenceRefused("quote.sept_ve_disable", f"TD attributes {report.td_attributes.hex()}", "bit 28 set")


def check_reserved_attributes(report: TdReport) -> None:
    """Bits that we don't know may let the host look inside, as profiling does. Raises: EvidenceRefused."""
    unknown = _attributes(report) & ~_DEFINED
    if unknown:
        raise EvidenceRefused("quote.reserved_attributes", f"TD attributes {report.td_attributes.hex()}", "no reserved or profiling bit")


def check_migratable(report: TdReport) -> None:
    """A TD that can migrate may run on a machine other than the one attested. Raises: EvidenceRefused."""
    if _attributes(report) & _MIGRATABLE:
        raise EvidenceRefused("quote.migratable", "a TD that can migrate", "one bound to its machine")


def check_service_td(report: TdReport) -> None:
    """A service TD bound to this one could take part in its state. Raises: EvidenceRefused."""
    if report.mr_service_td is not None and any(report.mr_service_td):
        raise EvidenceRefused("quote.service_td", f"MRSERVICETD {report.mr_service_td.hex()}", "none bound")


def check_seam_signer(report: TdReport) -> None:
    """MRSIGNERSEAM and SEAMATTRIBUTES are zero for modules signed by Intel. Raises: EvidenceRefused."""
    if any(report.mr_signer_seam) or any(report.seam_attributes):
        raise EvidenceRefused("quote.seam_signer", f"signer {report.mr_signer_seam.hex()}, attributes {report.seam_attributes.hex()}", "zero")


def check_xfam(report: TdReport) -> None:
    """CPU state that we don't know may leak between TD and host; the module allows some bits only together. Raises: EvidenceRefused."""
    xfam = int.from_bytes(report.xfam, "little")
    together = all(xfam & mask in (0, mask) for mask in (_XFAM_AVX512, _XFAM_CET, _XFAM_AMX))
    if xfam & ~_XFAM_DEFINED or xfam & _XFAM_ALWAYS != _XFAM_ALWAYS or not together or (xfam & _XFAM_AVX512 and not xfam & _XFAM_AVX):
        raise EvidenceRefused("quote.xfam", f"XFAM {report.xfam.hex()}", "components of CPU state that are known, in combinations that exist")


def check_current_module(report: TdReport) -> None:
    """A module that was exchanged under the running TD is not older than the one that is judged. Raises: EvidenceRefused.

    TEE_TCB_SVN is of the module that started the TD, and the TCB level is found by it; TEE_TCB_SVN_2 is of the one that runs now.
    """
    if report.tee_tcb_svn_2 is None:
        return
    started, current = report.tee_tcb_svn, report.tee_tcb_svn_2
    older = (current[1], current[0]) < (started[1], started[0])  # byte 1 is the module's version, byte 0 its SVN within that
    if older or any(now < then for now, then in zip(current[2:], started[2:], strict=True)):
        raise EvidenceRefused("quote.current_module", f"TEE_TCB_SVN_2 {current.hex()}", f"not older than TEE_TCB_SVN {started.hex()}")


def check_tcb_status(claims: PlatformClaims, policy: TdxPolicy, now: int) -> Grace | None:
    """The platform's TCB is good enough for the policy; the grace that it needed for that, or None. Raises: EvidenceRefused."""
    if claims.tcb_status in policy.accepted_tcb_status:
        return None
    graces = [grace for grace in policy.grace if grace.status == claims.tcb_status]
    for grace in graces:
        if now < grace_end(grace):
            return grace
    advisories = f" ({', '.join(claims.advisories)})" if claims.advisories else ""
    ended = f", whose grace ended on {max(grace.until for grace in graces)}" if graces else ""
    raise EvidenceRefused("tcb.status", f"{claims.tcb_status}{advisories}{ended}", " or ".join(policy.accepted_tcb_status) or "none")


def grace_end(grace: Grace) -> int:
    """The first second at which `grace` no longer holds: midnight UTC of its day."""
    return (grace.until - _EPOCH).days * _DAY


def check_advisories(claims: PlatformClaims, policy: TdxPolicy) -> None:
    """None of the advisories that apply is one that the policy rejects. Raises: EvidenceRefused."""
    rejected = sorted(set(claims.advisories) & set(policy.rejected_advisories))
    if rejected:
        raise EvidenceRefused("tcb.advisories", ", ".join(rejected), "none that the policy rejects")


def check_evaluation_number(claims: PlatformClaims, policy: TdxPolicy) -> None:
    """The collateral is not older than the policy's floor, so that old statements can't hide new flaws. Raises: EvidenceRefused."""
    if claims.tcb_evaluation_data_number < policy.min_tcb_evaluation_data_number:
        raise EvidenceRefused("tcb.evaluation_number", str(claims.tcb_evaluation_data_number), f"at least {policy.min_tcb_evaluation_data_number}")


def check_configuration(claims: PlatformClaims, policy: TdxPolicy) -> None:
    """What the policy does not allow, the PCK certificate must deny; saying nothing is not denying. Raises: EvidenceRefused."""
    for name, value, allowed in (
        ("dynamic platform", claims.dynamic_platform, policy.allow_dynamic_platform),
        ("cached keys", claims.cached_keys, policy.allow_cached_keys),
        ("SMT", claims.smt, policy.allow_smt),
    ):
        if not allowed and value != "False":
            raise EvidenceRefused("platform.configuration", f"{name}: {value}", "False")


def check_platform(claims: PlatformClaims, platforms: tuple[str, ...]) -> None:
    """The machine is one of those that the policy lists. Raises: EvidenceRefused."""
    if claims.ppid not in platforms:
        raise EvidenceRefused("platform.listed", f"PPID {claims.ppid}", f"one of the {len(platforms)} that the policy lists")


def matching_reference_values(
    report: TdReport, accepted: tuple[TdxReferenceValues, ...], os_image_hash: str | None = None
) -> tuple[TdxReferenceValues, ...]:
    """Those of `accepted` whose every stated measurement equals the machine's; at least one. Raises: EvidenceRefused.

    `os_image_hash` is the replayed log's, None where there was none: then no reference values that list images are equal.
    """
    matching = tuple(values for values in accepted if not _differences(report, values, os_image_hash))
    if not matching:
        raise EvidenceRefused("measurement.reference_values", _nearest(report, accepted, os_image_hash), "equal in all")
    return matching


def _nearest(report: TdReport, accepted: tuple[TdxReferenceValues, ...], os_image_hash: str | None) -> str:
    if not accepted:
        return "no reference values in the policy"
    differing, values = min(((_differences(report, values, os_image_hash), values) for values in accepted), key=lambda pair: len(pair[0]))
    return f"{', '.join(differing)} other than in {values.name}"


def _differences(report: TdReport, values: TdxReferenceValues, os_image_hash: str | None) -> list[str]:
    pairs = (
        ("MRTD", report.mrtd, values.mrtd),
        ("RTMR0", report.rtmr0, values.rtmr0),
        ("RTMR1", report.rtmr1, values.rtmr1),
        ("RTMR2", report.rtmr2, values.rtmr2),
        ("RTMR3", report.rtmr3, values.rtmr3),
        ("MRSEAM", report.mr_seam, values.mr_seam),
        ("MRCONFIGID", report.mr_config_id, values.mr_config_id),
        ("MROWNER", report.mr_owner, values.mr_owner),
        ("MROWNERCONFIG", report.mr_owner_config, values.mr_owner_config),
    )
    differing = [name for name, measured, wanted in pairs if wanted is not None and measured.hex() != wanted]
    if values.os_image_hashes is not None and os_image_hash not in values.os_image_hashes:
        differing.append("OS image")
    return differing


def _attributes(report: TdReport) -> int:
    return int.from_bytes(report.td_attributes, "little")
