"""Every check of an appraisal: its stable name, what it proves when it passed, and the text that demands it.

Each technology has its own table beside its code; here they are put together, in the order of appraisal. `Trail` records how far an
appraisal came.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from ollm.attest.dstack import checks as dstack
from ollm.attest.proof import Proof
from ollm.attest.tdx import checks as tdx
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Outcome
from ollm.values.policy import AttestationPolicy

_P = ParamSpec("_P")
_R = TypeVar("_R")

_ACI = "ACI/1"
_OWN = "OLLM attestation policy"

BEFORE: dict[str, Proof] = {
    "evidence.fetch": Proof("evidence and collateral could be fetched (made by whoever fetches, before appraisal)", _OWN),
    "policy.level": Proof("the policy is for attested machines, and simulated exactly when it pins a simulated root", _OWN),
}
SHAPE: dict[str, Proof] = {
    "report.shape": Proof("the report is of a shape that was asked for: shapes say what binds what, so none is guessed", _OWN),
}
CUSTODY: dict[str, Proof] = {
    "key.custody": Proof("those who hold the keys that prompts are sealed to, or else the channel's, are such as the policy accepts", _OWN),
}
REPORT: dict[str, Proof] = {
    "report.format": Proof("the report is one JSON document with the members of an attestation report, each once", f"{_ACI} §4"),
    "report.version": Proof("the report is of the version and the kind of machine that this verifier understands", f"{_ACI} §4"),
    "keyset.format": Proof("the keyset is well-formed and gives each key one role", f"{_ACI} §3.1"),
    "keyset.digest": Proof("the digest stated is that of the keyset received", f"{_ACI} §3.1"),
    "keyset.expiry": Proof("the keyset is valid now and not for implausibly long", f"{_ACI} §3.1"),
}
CHANNEL: dict[str, Proof] = {
    "binding.report_data": Proof("the machine itself stated this keyset, freshly, for our nonce", f"{_ACI} §3.2"),
    "channel.spki": Proof("the connection ends at a key that was attested (ACI: one of that keyset)", f"{_ACI} §5"),
    "channel.field_key": Proof("fields are sealed to a key of that keyset, which has no other role", "ACI E2EE v2 §4, §7"),
    "channel.hpke_key": Proof("what is sealed can be opened only with a key of that keyset", "OLLM specification: ACI with EHBP"),
}
MACHINE: dict[str, Proof] = {
    "policy.level": BEFORE["policy.level"],
    "machine.technology": Proof("the CPU is of a kind that the policy accepts", _OWN),
    "machine.collateral": Proof("collateral is there for every part of the machine that is judged, and of its kind", "RFC 9334 §3.3"),
}
BINDING: dict[str, Proof] = {
    "binding.statement": Proof("the CPU itself stated what binds it to the channel, as the provider's rule demands", "RFC 9334 §10"),
    "binding.nonce": Proof("the CPU's report was made for our nonce, so it is not an old one", "RFC 9334 §10.2"),
}
DEVICES: dict[str, Proof] = {
    "devices.required": Proof("as many GPUs and switches were attested as the policy demands", _OWN),
    "devices.distinct": Proof("no device stands in for two, and no evidence either", _OWN),
    "devices.bound": Proof("the CPU's report data commit to the devices' evidence; that they sit in one machine is not proven", _OWN),
}
CHECKS: dict[str, Proof] = {**BEFORE, **REPORT, **tdx.CHECKS, **CHANNEL, **tdx.SOFTWARE, **dstack.CHECKS}  # of an ACI service


def unjudged(policy: AttestationPolicy, refusal: EvidenceRefused) -> Appraisal:
    """The appraisal of what never came so far as to be appraised."""
    return Appraisal(policy.name, policy.level, (Check(refusal.check, Outcome.FAILED, refusal.got, refusal.want),))


class Trail:
    """How far an appraisal came through its `plan`, a sequence of names from CHECKS."""

    def __init__(self, plan: Iterable[str], *, target: str = "") -> None:
        """`target` names the part of the machine that is judged, where there may be several: gpu0."""
        self._plan = tuple(plan)
        self._target = target
        self._passed: dict[str, Check] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._plan

    def step(self, name: str, check: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run one check and record that it passed. Raises: EvidenceRefused from it."""
        result = check(*args, **kwargs)
        self.passed(name)
        return result

    def passed(self, *names: str, got: str = "") -> None:
        """Record that the checks `names` passed."""
        self._passed.update((name, Check(name, Outcome.PASSED, got, target=self._target)) for name in names)

    def checks(self) -> tuple[Check, ...]:
        """All checks of the plan; those without a record were not reached."""
        return tuple(self._passed.get(name, Check(name, Outcome.NOT_REACHED, target=self._target)) for name in self._plan)

    def refused(self, error: EvidenceRefused) -> tuple[Check, ...]:
        """All checks, the one that `error` names failed. One that was not planned comes first, so that it can't be missed."""
        failed = Check(error.check, Outcome.FAILED, error.got, error.want, self._target)
        checks = tuple(failed if check.name == error.check else check for check in self.checks())
        return checks if failed in checks else (failed, *checks)

    def completed(self) -> tuple[Check, ...]:
        """All checks, when each of them passed. Raises: EvidenceRefused for one that was forgotten; nothing passes by omission."""
        missing: Sequence[str] = [name for name in self._plan if name not in self._passed]
        if missing:
            raise EvidenceRefused(missing[0], "not checked", "checked")
        return self.checks()
