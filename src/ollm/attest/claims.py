"""From an accepted appraisal's facts to ACI's typed claims (ACI §8.3): nothing is asserted that the checks did not prove."""

from collections.abc import Mapping, Sequence

import msgspec

from ollm.attest.facts import CpuFacts, DeviceFacts
from ollm.values.checks import UNKNOWN, Claim, Claims
from ollm.values.policy import TdxReferenceValues

_SIMULATED = "simulated"

# What no evidence of this release shows, said with every result that could be read as if it did.
UNPROVEN_WEIGHTS = "which weights the model has"
UNPROVEN_LOCATION = "who holds the machine: physical access to its memory bus defeats attestation"
UNPROVEN_COLOCATION = "that the GPUs sit in the machine whose CPU was attested: their evidence could be relayed from another one"


def cpu_claims(facts: CpuFacts) -> Claims:
    """Claims from a genuine CPU report alone."""
    return Claims(tee_attested=facts.attested, tcb_up_to_date=facts.tcb, extra=facts.facts)


def service_claims(
    base: Claims,
    matching: tuple[TdxReferenceValues, ...],
    compose_hash: str | None,
    compose_in: TdxReferenceValues | None,
    *,
    simulated: bool,
    facts: Mapping[str, str] | None = None,
) -> Claims:
    """`base` with what the reference values add, and `facts` that the logs prove. GPU and weights stay unknown: that is not appraised here."""
    where = " (on simulated hardware)" if simulated else ""
    os_in = next((values for values in matching if _pins_os(values)), None)
    serving_in = compose_in if compose_in is not None and _pins_os(compose_in) else None
    extra = {**base.extra, **(facts or {})}
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


def measured_claims(facts: CpuFacts, *, simulated: bool) -> Claims:
    """Claims from a CPU whose one measurement covers what it started with (SEV-SNP) or all that it runs (Nitro)."""
    where = " (on simulated hardware)" if simulated else ""
    measured = UNKNOWN
    if facts.matching:
        measured = Claim("asserted", "verifier_derived", f"measurement equals the reference values{where}: {facts.matching[0].name}")
    return Claims(
        tee_attested=facts.attested,
        tcb_up_to_date=facts.tcb,
        os_known_good=measured,
        # A Nitro image is kernel and application in one; what an SNP guest loads after its launch is not in the launch digest.
        serving_software_known_good=measured if facts.technology == "nitro" else UNKNOWN,
        extra=facts.facts,
    )


def with_devices(base: Claims, devices: Sequence[DeviceFacts], *, simulated: bool) -> Claims:
    """`base` with what was found of the devices, and what remains unproven."""
    extra = {**base.extra, "unproven": "; ".join((UNPROVEN_WEIGHTS, UNPROVEN_LOCATION))}
    if not devices:
        return msgspec.structs.replace(base, extra=extra)
    extra["unproven"] += f"; {UNPROVEN_COLOCATION}"
    for index, device in enumerate(devices):
        extra |= {f"device{index}_{name}": value for name, value in {"kind": device.kind, "model": device.model, **device.facts}.items()}
    counted = " and ".join(f"{sum(each.kind == kind for each in devices)} {kind}" for kind in sorted({each.kind for each in devices}))
    if simulated:
        return msgspec.structs.replace(base, gpu_attested=Claim("refuted", "verifier_derived", _SIMULATED), extra=extra)
    reported = all(device.by == "report" for device in devices)
    said = "hardware reports verified to NVIDIA's root" if reported else "as NVIDIA's attestation service says"
    claim = Claim(
        "asserted", "hardware_proven" if reported else "verifier_derived", f"{counted}: {said}; not bound to the machine beyond a shared nonce"
    )
    return msgspec.structs.replace(base, gpu_attested=claim, extra=extra)


def _pins_os(values: TdxReferenceValues) -> bool:
    """Firmware, ACPI tables, kernel and its command line are all pinned; a register left out is the host's to choose."""
    return None not in (values.rtmr0, values.rtmr1, values.rtmr2)


def _reference_claim(values: TdxReferenceValues | None, reason: str) -> Claim:
    return UNKNOWN if values is None else Claim("asserted", "verifier_derived", f"{reason}: {values.name}")
