"""A Contrast manifest: which workloads may join the mesh, on which machines. The operator pins one by its SHA-256, so its bytes are ours.

    {"Policies": {SHA-256 of a policy, hex: {"SANs": [name], "WorkloadSecretID": text, "Role": "coordinator"}},
     "ReferenceValues": {"snp": [SNP], "tdx": [TDX]}, …}

    SNP  {"ProductName", "TrustedMeasurement", "MinimumTCB": {"BootloaderVersion", "TEEVersion", "SNPVersion", "MicrocodeVersion"},
          "GuestPolicy": {…}, "PlatformInfo": {…}, "MinimumMitigationVector", "AllowedChipIDs": [hex], "APEIP"}
    TDX  {"MrTd", "MrSeam", "Rtmrs": [hex of each], "Xfam", …}

The hash of a workload's policy is the host data of its machine (SEV-SNP), or begins its MRCONFIGID (TDX; zeros behind it): the host
chooses both at launch, and the software that is measured enforces the policy with that hash. A name in SANs stands in the certificate
that the mesh CA gives to that workload and to no other.

With `APEIP`, TrustedMeasurement is that of one virtual CPU, from which those of more follow: it isn't compared then; the operator's own
reference values, which every machine must meet, say the measurement. Members that aren't named here aren't judged.

Source: edgelesssys/contrast, internal/manifest (v1.20 and since), google/go-sev-guest, validate.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.attest.services.privatemode.document import decoded
from ollm.attest.sevsnp.layout import SnpReport, parse_report
from ollm.attest.sevsnp.product import at_least, product_of_cpuid, read_tcb
from ollm.attest.tdx.layout import TdReport, parse_quote
from ollm.errors import EvidenceRefused
from ollm.values.policy import CpuSvn, SnpTcb
from ollm.values.structs import resolved

_CHECK = "privatemode.manifest"
_COORDINATOR = "privatemode.coordinator"
_ADMITTED = "privatemode.admitted"

# Bits of AMD's GUEST_POLICY and PLATFORM_INFO (56860). Of the former of each pair a guest may have those that are set in the manifest,
# of the latter it must have them.
_POLICY_ALLOWED = {"SMT": 16, "MigrateMA": 18, "Debug": 19, "CXLAllowed": 21}
_POLICY_DEMANDED = {"SingleSocket": 20, "MemAES256XTS": 22, "RAPLDis": 23, "CipherTextHidingDRAM": 24, "PageSwapDisable": 25}
_PLATFORM_ALLOWED = {"SMTEnabled": 0, "TSMEEnabled": 1}
_PLATFORM_DEMANDED = {"ECCEnabled": 2, "RAPLDisabled": 3, "CiphertextHidingDRAMEnabled": 4, "AliasCheckComplete": 5}

_Vector = Annotated[int, msgspec.Meta(ge=0)]


@resolved
class _Entry(msgspec.Struct, frozen=True):
    SANs: tuple[str, ...] | None = None
    Role: str = ""


class _MinimumTcb(msgspec.Struct, frozen=True):
    BootloaderVersion: CpuSvn
    TEEVersion: CpuSvn
    SNPVersion: CpuSvn
    MicrocodeVersion: CpuSvn


@resolved
class _Snp(msgspec.Struct, frozen=True):
    ProductName: str
    TrustedMeasurement: str
    MinimumTCB: _MinimumTcb
    GuestPolicy: dict[str, object] = {}
    PlatformInfo: dict[str, object] = {}
    MinimumMitigationVector: _Vector = 0
    AllowedChipIDs: tuple[str, ...] | None = None
    APEIP: str = ""


@resolved
class _Tdx(msgspec.Struct, frozen=True):
    MrTd: str
    MrSeam: str
    Xfam: str
    Rtmrs: tuple[str, str, str, str]


@resolved
class _ReferenceValues(msgspec.Struct, frozen=True):
    snp: tuple[_Snp, ...] = ()
    tdx: tuple[_Tdx, ...] = ()


@resolved
class Manifest(msgspec.Struct, frozen=True):
    """A manifest, as far as it is judged."""

    Policies: dict[str, _Entry]
    ReferenceValues: _ReferenceValues

    def named(self, name: str) -> tuple[str, ...]:
        """The policies whose workloads get certificates with `name`."""
        return tuple(hashed for hashed, entry in self.Policies.items() if name in (entry.SANs or ()))


def read(data: bytes) -> Manifest:
    """Raises: EvidenceRefused with privatemode.manifest."""
    return decoded(data, Manifest, "a manifest", check=_CHECK)


def check_coordinator(manifest: Manifest, cpu: SnpEvidence | TdxEvidence) -> str:
    """The machine was started with the policy of the coordinator's role, of which there is one; its hash. Raises: EvidenceRefused."""
    coordinators = [hashed.lower() for hashed, entry in manifest.Policies.items() if entry.Role == "coordinator"]
    if len(coordinators) != 1:
        raise EvidenceRefused(_COORDINATOR, f"a manifest with {len(coordinators)} coordinators", "one")
    (want,) = coordinators
    if isinstance(cpu, SnpEvidence):
        got = parse_report(cpu.report).host_data.hex()
    else:
        config = parse_quote(cpu.quote).td_report.mr_config_id
        got = config[:32].hex() if not any(config[32:]) else config.hex()
    if got != want:
        raise EvidenceRefused(_COORDINATOR, f"a machine of the policy {got}", f"{want}, the coordinator's by the manifest")
    return got


def check_admitted(manifest: Manifest, cpu: SnpEvidence | TdxEvidence) -> None:
    """The coordinator's own machine is one that its manifest admits. Raises: EvidenceRefused with privatemode.admitted."""
    if isinstance(cpu, SnpEvidence):
        report = parse_report(cpu.report)
        found = [_snp_differences(report, entry) for entry in manifest.ReferenceValues.snp]
    else:
        td_report = parse_quote(cpu.quote).td_report
        found = [_tdx_differences(td_report, entry) for entry in manifest.ReferenceValues.tdx]
    if not all(found):
        return
    nearest = min(found, key=len, default=["no reference values for such a machine"])
    raise EvidenceRefused(_ADMITTED, f"{', '.join(nearest)}: other than in the manifest", "a machine that the manifest admits")


def _snp_differences(report: SnpReport, entry: _Snp) -> list[str]:
    found = []
    if report.cpuid is None or product_of_cpuid(report.cpuid) != entry.ProductName:
        return ["product"]
    if report.measurement.hex() != entry.TrustedMeasurement.lower() and not entry.APEIP:
        found.append("measurement")
    tcb = entry.MinimumTCB
    minimum = SnpTcb(bootloader=tcb.BootloaderVersion, tee=tcb.TEEVersion, snp=tcb.SNPVersion, microcode=tcb.MicrocodeVersion)
    if not all(at_least(read_tcb(stated, entry.ProductName, _ADMITTED), minimum) for stated in (report.reported_tcb, report.launch_tcb)):
        found.append("TCB")
    if entry.AllowedChipIDs and report.chip_id.hex() not in {chip.lower() for chip in entry.AllowedChipIDs}:
        found.append("chip")
    launch, current = (report.mitigations.launch, report.mitigations.current) if report.mitigations is not None else (0, 0)
    if entry.MinimumMitigationVector & ~(launch & current):
        found.append("mitigations")
    if not _within(report.policy, entry.GuestPolicy, _POLICY_ALLOWED, _POLICY_DEMANDED):
        found.append("guest policy")
    if not _within(report.platform_info, entry.PlatformInfo, _PLATFORM_ALLOWED, _PLATFORM_DEMANDED):
        found.append("platform")
    return found


def _within(bits: int, listed: Mapping[str, object], allowed: Mapping[str, int], demanded: Mapping[str, int]) -> bool:
    """Whether `bits` has nothing of `allowed` that isn't `listed`, and all of `demanded` that is."""
    return not any(bits >> at & 1 and listed.get(name) is not True for name, at in allowed.items()) and not any(
        not bits >> at & 1 and listed.get(name, False) is not False for name, at in demanded.items()
    )


def _tdx_differences(report: TdReport, entry: _Tdx) -> list[str]:
    compared = {
        "MRTD": (report.mrtd, entry.MrTd),
        "MRSEAM": (report.mr_seam, entry.MrSeam),
        "XFAM": (report.xfam, entry.Xfam),
        **{f"RTMR{index}": pair for index, pair in enumerate(zip(report.rtmrs, entry.Rtmrs, strict=True))},
    }
    return [name for name, (got, want) in compared.items() if got.hex() != want.lower()]
