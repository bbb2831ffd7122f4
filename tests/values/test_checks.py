"""An appraisal is accepted only when something was checked and everything passed."""

import pytest

from ollm.values.checks import UNKNOWN, Appraisal, Check, Claim, Claims, Outcome
from ollm.values.level import Level

PASSED = Check("quote.format", Outcome.PASSED)
FAILED = Check("quote.debug", Outcome.FAILED, "debug bit set", "debug bit clear")
NOT_REACHED = Check("quote.signature", Outcome.NOT_REACHED)


def appraisal(*checks: Check) -> Appraisal:
    return Appraisal("policy", Level.TEE, checks)


@pytest.mark.parametrize(
    ("checks", "accepted"),
    [
        ((), False),
        ((PASSED,), True),
        ((PASSED, PASSED), True),
        ((PASSED, FAILED), False),
        ((PASSED, NOT_REACHED), False),
        ((FAILED, NOT_REACHED), False),
        ((NOT_REACHED,), False),
    ],
)
def test_accepted(checks: tuple[Check, ...], accepted: bool) -> None:
    assert appraisal(*checks).accepted is accepted


def test_the_failure_is_the_first_failed_check() -> None:
    second = Check("channel.spki", Outcome.FAILED)
    assert appraisal(PASSED, FAILED, second).failure is FAILED
    assert appraisal(PASSED, NOT_REACHED).failure is None
    assert appraisal().failure is None


def test_a_claim_without_evidence_is_unknown_and_says_no_more() -> None:
    assert Claims().document() == {
        name: {"status": "unknown"}
        for name in (
            "tee_attested",
            "gpu_attested",
            "tcb_up_to_date",
            "os_known_good",
            "serving_software_known_good",
            "model_weights_provenance",
        )
    }
    assert Claim("unknown") == UNKNOWN


def test_a_claim_with_evidence_says_its_source_and_reason() -> None:
    claims = Claims(tee_attested=Claim("refuted", "verifier_derived", "simulated"), extra={"tcb_status": "UpToDate"}).document()
    assert claims["tee_attested"] == {"status": "refuted", "source": "verifier_derived", "reason": "simulated"}
    assert claims["extra"] == {"tcb_status": "UpToDate"}


def test_nothing_is_valid_by_default() -> None:
    assert appraisal(PASSED).valid_until == 0


def test_values_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        PASSED.outcome = Outcome.FAILED  # type: ignore[misc]
