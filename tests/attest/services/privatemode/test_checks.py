"""The table of Privatemode's checks: each is made, and no other is."""

from ollm.attest.services.privatemode.checks import CHECKS
from tests.attest.services.privatemode.deployments import evidence, judged, policy


def test_the_table_is_what_is_planned() -> None:
    appraisal, _ = judged(evidence(), policy())
    assert [check.name for check in appraisal.checks if check.name.startswith("privatemode.")] == list(CHECKS)
    assert all(proof.proves and proof.source for proof in CHECKS.values())
