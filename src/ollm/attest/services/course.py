"""The way through a service's appraisal: checks of its report, its machines, then what binds them to the channel.

    course = Course(question, before=("report.nonce",), after=("channel.spki",))
    with course:
        report = course.before.step("report.nonce", …)
        found = course.machine(evidence, collateral, expected)
        course.after.step("channel.spki", …)
        course.accept(Bound(…), found.claims)
    return course.verdict

A refusal anywhere inside ends the way; what lies behind it counts as not reached. Nothing is accepted but by `accept`, at the end, when
every planned check has passed.
"""

from collections.abc import Sequence
from types import TracebackType

import msgspec

from ollm.attest.checks import Trail
from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence
from ollm.attest.machine import appraise_machine
from ollm.attest.services.evidence import Bound
from ollm.attest.services.question import Question, Verdict
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Check, Claims
from ollm.values.policy import AttestationPolicy


class _MachineRefused(Exception):
    """A machine of the service was refused; its checks say why."""


class Course:
    """One appraisal of one service. Use as a context, then read `verdict`."""

    def __init__(self, question: Question, *, before: Sequence[str], after: Sequence[str]) -> None:
        """`before` and `after`: names of the checks that are planned before and after the machines."""
        self.before = Trail(before)
        self.after = Trail(after)
        self._question = question
        self._machines: list[tuple[Check, ...]] = []
        self._ends: list[int] = []
        self._warnings: list[str] = []
        self._verdict: Verdict | None = None
        self._running = self.before

    def machine(
        self,
        evidence: MachineEvidence,
        collateral: MachineCollateral,
        expected: Expected,
        *,
        policy: AttestationPolicy | None = None,
        target: str = "",
    ) -> Appraisal:
        """Judge one machine under the question's policy, or `policy`; `target` names it where there are several. Ends the way when it is refused."""
        question = self._question
        chosen = policy if policy is not None else question.policy
        found = appraise_machine(evidence, collateral, chosen, question.now, expected=expected, statements=question.statements)
        self._machines.append(tuple(msgspec.structs.replace(check, target=_joined(target, check.target)) for check in found.checks))
        if not found.accepted:
            raise _MachineRefused
        self._ends.append(found.valid_until)
        self._warnings += found.warnings
        self._running = self.after
        return found

    def accept(self, bound: Bound, claims: Claims, *, valid_until: int | None = None, warnings: Sequence[str] = ()) -> None:
        """End the way: every planned check has passed, and a machine was judged. Raises: EvidenceRefused for what was forgotten."""
        if not self._machines:
            raise EvidenceRefused("machine.technology", "no machine", "one at least")
        checks = (*self.before.completed(), *self._judged(), *self.after.completed())
        end = min(moment for moment in (*self._ends, valid_until) if moment is not None)
        policy = self._question.policy
        self._verdict = Appraisal(policy.name, policy.level, checks, claims, end, (*self._warnings, *warnings)), bound

    @property
    def verdict(self) -> Verdict:
        """What it came to."""
        if self._verdict is None:
            raise RuntimeError("the way was left before its end")
        return self._verdict

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, EvidenceRefused):
            before = self.before.refused(error) if self._running is self.before else self.before.checks()
            after = self.after.refused(error) if self._running is self.after else self.after.checks()
            self._refuse(before, after)
            return True
        if isinstance(error, _MachineRefused):
            self._refuse(self.before.checks(), self.after.checks())
            return True
        return False

    def _refuse(self, before: tuple[Check, ...], after: tuple[Check, ...]) -> None:
        policy = self._question.policy
        self._verdict = Appraisal(policy.name, policy.level, (*before, *self._judged(), *after)), None

    def _judged(self) -> tuple[Check, ...]:
        return tuple(check for checks in self._machines for check in checks)


def _joined(target: str, inner: str) -> str:
    return f"{target}.{inner}" if target and inner else target or inner
