"""The result of an appraisal: checks that explain themselves, and ACI's typed claims."""

import enum
from typing import Any

import msgspec

from ollm.values.level import Level


class Outcome(enum.StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not_reached"  # an earlier check failed; says nothing either way


class Check(msgspec.Struct, frozen=True):
    """One step of an appraisal. `name` is stable (docs and tests refer to it); `got` and `want` are for people."""

    name: str
    outcome: Outcome
    got: str = ""
    want: str = ""
    target: str = ""  # the device that was judged, where there are several: gpu0


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """ACI §8.3. `source` and `reason` are present only when `status` is not unknown."""

    status: str  # asserted | refuted | unknown
    source: str = ""  # hardware_proven | verifier_derived | provider_asserted | operator_asserted
    reason: str = ""


UNKNOWN = Claim("unknown")


class Claims(msgspec.Struct, frozen=True):
    """ACI's six claims and the raw facts behind them (`extra`: string to string)."""

    tee_attested: Claim = UNKNOWN
    gpu_attested: Claim = UNKNOWN
    tcb_up_to_date: Claim = UNKNOWN
    os_known_good: Claim = UNKNOWN
    serving_software_known_good: Claim = UNKNOWN
    model_weights_provenance: Claim = UNKNOWN
    extra: dict[str, str] = {}

    def document(self) -> dict[str, Any]:
        """The claims as ACI §8.2 puts them into a session."""
        claims: dict[str, Any] = msgspec.to_builtins(self)
        if not self.extra:
            del claims["extra"]
        return claims


class Appraisal(msgspec.Struct, frozen=True):
    """What was found when evidence met policy. Nothing is trusted unless `accepted`."""

    policy: str  # name of the policy in the configuration
    level: Level  # what an acceptance under this policy is worth
    checks: tuple[Check, ...]
    claims: Claims = Claims()
    valid_until: int = 0  # Unix seconds: the earliest end of collateral and keyset
    warnings: tuple[str, ...] = ()  # nothing that refuses, but what people should know

    @property
    def accepted(self) -> bool:
        """True only when there are checks and every one passed."""
        return bool(self.checks) and all(check.outcome is Outcome.PASSED for check in self.checks)

    @property
    def failure(self) -> Check | None:
        """The first failed check, or None."""
        return next((check for check in self.checks if check.outcome is Outcome.FAILED), None)
