"""From an accepted appraisal's facts to ACI's typed claims (ACI §8.3): nothing is asserted that the checks did not prove."""

from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import TdReport
from ollm.values.checks import UNKNOWN, Claim, Claims
from ollm.values.policy import TdxReferenceValues

_SIMULATED = "simulated"


def quote_claims(report: TdReport, platform: PlatformClaims, *, simulated: bool) -> Claims:
    """Claims from a genuine quote alone."""
    extra = {
        "tcb_status": platform.tcb_status,
        "advisories": ",".join(platform.advisories),
        "tcb_evaluation_data_number": str(platform.tcb_evaluation_data_number),
        "fmspc": platform.fmspc,
        "mr_seam": report.mr_seam.hex(),
        "mrtd": report.mrtd.hex(),
        **{f"rtmr{index}": register.hex() for index, register in enumerate(report.rtmrs)},
    }
    if simulated:  # a simulated platform's TCB says nothing about any hardware
        return Claims(tee_attested=Claim("refuted", "verifier_derived", _SIMULATED), extra=extra)
    return Claims(
        tee_attested=Claim("asserted", "hardware_proven", "Intel TDX quote verified to Intel's root"),
        tcb_up_to_date=_tcb_claim(platform),
        extra=extra,
    )


def service_claims(
    base: Claims, matching: tuple[TdxReferenceValues, ...], compose_hash: str | None, compose_in: TdxReferenceValues | None, *, simulated: bool
) -> Claims:
    """`base` with what the reference values add. GPU and weights stay unknown: no evidence of them is appraised here."""
    where = " (on simulated hardware)" if simulated else ""
    os_in = next((values for values in matching if _pins_os(values)), None)
    serving_in = compose_in if compose_in is not None and _pins_os(compose_in) else None
    extra = dict(base.extra)
    if compose_hash is not None:
        extra["compose_hash"] = compose_hash
    return Claims(
        tee_attested=base.tee_attested,
        tcb_up_to_date=base.tcb_up_to_date,
        os_known_good=_reference_claim(os_in, f"measurements equal the reference values{where}"),
        # What runs is measured by the OS, so an OS that is not known makes no software known.
        serving_software_known_good=_reference_claim(serving_in, f"app-compose listed in the reference values{where}"),
        extra=extra,
    )


def _tcb_claim(platform: PlatformClaims) -> Claim:
    if platform.tcb_status == "UpToDate":
        return Claim("asserted", "hardware_proven", platform.tcb_status)
    return Claim("refuted", "hardware_proven", " ".join((platform.tcb_status, *platform.advisories)))


def _pins_os(values: TdxReferenceValues) -> bool:
    """Firmware, ACPI tables, kernel and its command line are all pinned; a register left out is the host's to choose."""
    return None not in (values.rtmr0, values.rtmr1, values.rtmr2)


def _reference_claim(values: TdxReferenceValues | None, reason: str) -> Claim:
    return UNKNOWN if values is None else Claim("asserted", "verifier_derived", f"{reason}: {values.name}")
