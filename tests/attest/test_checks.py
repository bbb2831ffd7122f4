"""The table of checks, and the trail that an appraisal leaves."""

import re

import pytest

from ollm.attest.checks import CHECKS, Trail, unjudged
from ollm.errors import EvidenceRefused
from ollm.values.checks import Check, Outcome
from ollm.values.policy import AttestationPolicy


def test_every_check_says_what_it_proves_and_who_demands_it() -> None:
    for name, proof in CHECKS.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name)
        assert proof.proves and not proof.proves.endswith(".")
        assert proof.source


def test_a_complete_trail_has_passed() -> None:
    trail = Trail(("quote.format", "quote.debug"))

    assert trail.step("quote.format", int, "7") == 7
    trail.passed("quote.debug", got="none")

    assert trail.completed() == (Check("quote.format", Outcome.PASSED), Check("quote.debug", Outcome.PASSED, "none"))
    assert "quote.debug" in trail
    assert "tcb.level" not in trail


def test_a_forgotten_check_is_a_refusal() -> None:
    trail = Trail(("quote.format", "quote.debug"))
    trail.passed("quote.format")

    with pytest.raises(EvidenceRefused, match=r"quote\.debug: got not checked"):
        trail.completed()


def test_a_refusal_stands_in_its_place() -> None:
    trail = Trail(("quote.format", "quote.debug", "tcb.level"))
    trail.passed("quote.format")

    checks = trail.refused(EvidenceRefused("quote.debug", "debug mode", "none"))

    assert [check.outcome for check in checks] == [Outcome.PASSED, Outcome.FAILED, Outcome.NOT_REACHED]
    assert (checks[1].got, checks[1].want) == ("debug mode", "none")


def test_a_check_that_passed_and_then_failed_has_failed() -> None:
    trail = Trail(("quote.format",))
    trail.passed("quote.format")

    assert trail.refused(EvidenceRefused("quote.format", "x", "y"))[0].outcome is Outcome.FAILED


def test_a_refusal_that_was_not_planned_comes_first() -> None:
    trail = Trail(("quote.format",))

    checks = trail.refused(EvidenceRefused("evidence.fetch", "no answer", "one"))

    assert [check.name for check in checks] == ["evidence.fetch", "quote.format"]
    assert checks[0].outcome is Outcome.FAILED


def test_a_step_that_raises_is_not_recorded() -> None:
    trail = Trail(("quote.format",))

    def refuse() -> None:
        raise EvidenceRefused("quote.format", "x", "y")

    with pytest.raises(EvidenceRefused):
        trail.step("quote.format", refuse)
    assert trail.checks() == (Check("quote.format", Outcome.NOT_REACHED),)


def test_what_was_never_appraised_is_refused_by_the_one_check_that_ended_it(policy: AttestationPolicy) -> None:
    appraisal = unjudged(policy, EvidenceRefused("evidence.fetch", "nothing", "something"))
    assert (appraisal.accepted, appraisal.policy, appraisal.level) == (False, policy.name, policy.level)
    assert appraisal.checks == (Check("evidence.fetch", Outcome.FAILED, "nothing", "something"),)
