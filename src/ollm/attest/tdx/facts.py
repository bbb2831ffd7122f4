"""What a genuine quote says about its machine, for claims and for people."""

import hashlib

from ollm.attest.dstack.eventlog import RuntimeEvent, boot_payloads
from ollm.attest.facts import CpuFacts
from ollm.attest.tdx import ccel
from ollm.attest.tdx.collateral import ModuleLevel
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import TdReport, TdxQuote
from ollm.values.checks import UNKNOWN, Claim
from ollm.values.policy import Grace


def cpu_facts(
    quote: TdxQuote, platform: PlatformClaims, module: ModuleLevel | None, grace: Grace | None, *, valid_until: int, simulated: bool
) -> CpuFacts:
    """The facts of a quote that passed every check of its plan, under `grace` if it needed one."""
    attested = Claim("asserted", "hardware_proven", "Intel TDX quote verified to Intel's root")
    return CpuFacts(
        technology="tdx",
        identity=quote.identity,
        report_data=quote.td_report.report_data,
        hardware_id=platform.ppid,
        attested=Claim("refuted", "verifier_derived", "simulated") if simulated else attested,
        tcb=UNKNOWN if simulated else _tcb_claim(platform),  # a simulated platform's TCB says nothing about any hardware
        facts=_platform_facts(platform, module) | _report_facts(quote.td_report),
        warnings=_warnings(platform, grace),
        valid_until=valid_until,
    )


def firmware_facts(measured: tuple[ccel.FirmwareEvent, ...]) -> dict[str, str]:
    """What a replayed firmware log proves by itself."""
    secure_boot = ccel.secure_boot(measured)
    return {} if secure_boot is None else {"secure_boot": "on" if secure_boot else "off"}


def boot_facts(runtime: tuple[RuntimeEvent, ...]) -> dict[str, str]:
    """What dstack's replayed log says of the boot. The image's hash is what the key service told the guest: the registers prove the image."""
    facts = {}
    for fact, name in (("os_image_hash", "os-image-hash"), ("app_id", "app-id")):
        payloads = boot_payloads(runtime, name)
        if len(payloads) == 1:
            facts[fact] = payloads[0].hex()
    return facts


def _platform_facts(platform: PlatformClaims, module: ModuleLevel | None) -> dict[str, str]:
    facts = {
        "tcb_status": platform.tcb_status,
        "advisories": ",".join(platform.advisories),
        "tcb_date": platform.tcb_date,
        "tcb_evaluation_data_number": str(platform.tcb_evaluation_data_number),
        "qe_tcb_status": platform.qe_tcb_status,
        "qe_tcb_date": platform.qe_tcb_date,
        "fmspc": platform.fmspc,
        # The PPID itself names a machine for life, so it stays out of what is published; dstack calls its digest device id.
        "device_id": hashlib.sha256(bytes.fromhex(platform.ppid)).hexdigest(),
        "dynamic_platform": platform.dynamic_platform,
        "cached_keys": platform.cached_keys,
        "smt": platform.smt,
    }
    if module is not None:
        facts |= {"tdx_module_tcb_status": module.tcb_status, "tdx_module_tcb_date": module.tcb_date}
    if platform.current_tcb_status is not None:
        facts["current_tcb_status"] = platform.current_tcb_status
    return facts


def _report_facts(report: TdReport) -> dict[str, str]:
    always = ("tee_tcb_svn", "td_attributes", "xfam", "mr_seam", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
    when_set = ("tee_tcb_svn_2", "mr_config_id", "mr_owner", "mr_owner_config")
    fields = {name: getattr(report, name) for name in (*always, *when_set)}
    return {name: value.hex() for name, value in fields.items() if name in always or (value is not None and any(value))}


def _warnings(platform: PlatformClaims, grace: Grace | None) -> tuple[str, ...]:
    advisories = f" ({', '.join(platform.advisories)})" if platform.advisories else ""
    if grace is not None:
        return (f"TCB status {platform.tcb_status}{advisories} is accepted until {grace.until}: {grace.reason}",)
    return () if platform.tcb_status == "UpToDate" else (f"TCB status {platform.tcb_status}{advisories} is accepted by the policy",)


def _tcb_claim(platform: PlatformClaims) -> Claim:
    if platform.tcb_status == "UpToDate":
        return Claim("asserted", "hardware_proven", platform.tcb_status)
    return Claim("refuted", "hardware_proven", " ".join((platform.tcb_status, *platform.advisories)))
