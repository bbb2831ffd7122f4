"""What an accepted appraisal proved, in the few words that a list of models has room for. Never more than its claims say."""

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.values.checks import Appraisal, Outcome
from ollm.values.policy import Technology

# A report of a CPU counts once the vendor's signature over it was verified.
_SIGNATURES: Mapping[str, Technology] = {"quote.signature": "tdx", "snp.signature": "sev-snp", "nitro.signature": "nitro"}


def tee_types(appraisal: Appraisal) -> tuple[Technology, ...]:
    """Technologies of the CPUs that `appraisal` attests, in a fixed order; none where hardware attests nothing, as with a simulated machine."""
    if not appraisal.accepted or appraisal.claims.tee_attested.status != "asserted":
        return ()
    passed = {check.name for check in appraisal.checks if check.outcome is Outcome.PASSED}
    return tuple(technology for check, technology in _SIGNATURES.items() if check in passed)


def gpu(appraisal: Appraisal) -> dict[str, Any] | None:
    """The claim about GPUs as ACI §8.3 writes it, with the kind and model of each device; None without an accepted appraisal."""
    if not appraisal.accepted:
        return None
    extra = appraisal.claims.extra
    found = itertools.takewhile(lambda prefix: f"{prefix}_kind" in extra, (f"device{index}" for index in itertools.count()))
    devices = [{"kind": extra[f"{prefix}_kind"], "model": extra[f"{prefix}_model"]} for prefix in found]
    claim: dict[str, Any] = msgspec.to_builtins(appraisal.claims.gpu_attested)
    return {**claim, "devices": devices}
