"""What a genuine quote says about its machine, for claims and for people."""

from ollm.attest.facts import CpuFacts
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import TdxQuote
from ollm.values.checks import UNKNOWN, Claim


def cpu_facts(quote: TdxQuote, platform: PlatformClaims, valid_until: int, *, simulated: bool) -> CpuFacts:
    """The facts of a quote that passed every check of its plan."""
    report = quote.td_report
    attested = Claim("asserted", "hardware_proven", "Intel TDX quote verified to Intel's root")
    return CpuFacts(
        technology="tdx",
        identity=quote.identity,
        report_data=report.report_data,
        attested=Claim("refuted", "verifier_derived", "simulated") if simulated else attested,
        tcb=UNKNOWN if simulated else _tcb_claim(platform),  # a simulated platform's TCB says nothing about any hardware
        facts={
            "tcb_status": platform.tcb_status,
            "advisories": ",".join(platform.advisories),
            "tcb_evaluation_data_number": str(platform.tcb_evaluation_data_number),
            "fmspc": platform.fmspc,
            "mr_seam": report.mr_seam.hex(),
            "mrtd": report.mrtd.hex(),
            **{f"rtmr{index}": register.hex() for index, register in enumerate(report.rtmrs)},
        },
        valid_until=valid_until,
    )


def _tcb_claim(platform: PlatformClaims) -> Claim:
    if platform.tcb_status == "UpToDate":
        return Claim("asserted", "hardware_proven", platform.tcb_status)
    return Claim("refuted", "hardware_proven", " ".join((platform.tcb_status, *platform.advisories)))
