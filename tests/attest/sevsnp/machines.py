"""Simulated SEV-SNP machines for the tests here, and their way through appraisal."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from ollm.attest.checks import Trail
from ollm.attest.evidence import SnpCollateral, SnpEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.sevsnp import appraise
from ollm.errors import EvidenceRefused
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import SnpPki, create_pki
from ollm.values.checks import Outcome
from ollm.values.policy import SnpPolicy

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


@cache
def pki(product: str) -> SnpPki:
    return create_pki(product, NOW)


@cache
def machine(product: str = "Genoa", *, vlek: bool = False) -> SnpMachine:
    """The machine of `product`: made once, and nothing changes it."""
    return SnpMachine(pki(product), NOW, vlek=vlek)


def accepted(report: bytes, collateral: SnpCollateral, policy: SnpPolicy, now: int = NOW, **options: Any) -> CpuFacts:
    """The facts of an accepted report: every check of the plan passed, in the plan's order."""
    trail = Trail(appraise.plan(policy, **options))
    facts = appraise.genuine_report(trail, SnpEvidence(report=report), collateral, policy, now, **options)
    checks = trail.completed()
    assert [check.name for check in checks] == list(appraise.plan(policy, **options))
    assert all(check.outcome is Outcome.PASSED for check in checks)
    return facts


def refused(report: bytes, collateral: SnpCollateral, policy: SnpPolicy, now: int = NOW, **options: Any) -> str | None:
    """The check that refuses a report; None when it is accepted."""
    return refusing(lambda: accepted(report, collateral, policy, now, **options))


def refusing(judge: Callable[[], object]) -> str | None:
    """The check that `judge` refuses with, or None."""
    try:
        judge()
    except EvidenceRefused as refusal:
        return refusal.check
    return None


def raises(check: str, match: str | None = None) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, match=match, check=lambda error: error.check == check)
