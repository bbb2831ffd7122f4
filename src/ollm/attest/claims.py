"""From an accepted appraisal's facts to ACI's typed claims (ACI §8.3): nothing is asserted that the checks did not prove."""

from ollm.attest.facts import CpuFacts
from ollm.values.checks import UNKNOWN, Claim, Claims
from ollm.values.policy import TdxReferenceValues


def cpu_claims(facts: CpuFacts) -> Claims:
    """Claims from a genuine CPU report alone."""
    return Claims(tee_attested=facts.attested, tcb_up_to_date=facts.tcb, extra=facts.facts)


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


def _pins_os(values: TdxReferenceValues) -> bool:
    """Firmware, ACPI tables, kernel and its command line are all pinned; a register left out is the host's to choose."""
    return None not in (values.rtmr0, values.rtmr1, values.rtmr2)


def _reference_claim(values: TdxReferenceValues | None, reason: str) -> Claim:
    return UNKNOWN if values is None else Claim("asserted", "verifier_derived", f"{reason}: {values.name}")
