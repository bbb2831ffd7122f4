"""One budget for all attempts of a request: what is tried, in which order, after which pauses, and what is not."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ollm.traffic.attempts import CREDENTIALS, RETRIED, Again, Cause, Failure, Plan, RetryRules, Step, again

RULES = RetryRules()
UNREACHED = Failure(Cause.UNREACHED)


def answered(status: int, pause: float | None = None, *, other_key: bool = False) -> Failure:
    return Failure(Cause.ANSWERED, status, pause, other_key)


def plan(names: str = "a", *, ends: float = 1e9, jitter: float = 0.5, **rules: float) -> Plan:
    """A plan whose jitter is none where `jitter` is 0.5."""
    return Plan(RetryRules(**rules), tuple(names), lambda: jitter, ends=ends)  # type: ignore[arg-type]  # attempts is an integer


def attempts(planned: Plan, *failures: Failure, now: float = 0.0) -> list[Step]:
    """The steps of `planned` when each attempt fails at once; the last failure repeats. The clock goes on by the pauses."""
    steps: list[Step] = []
    while (step := planned.next(now)) is not None:
        now += step.pause
        planned.begun(step.name)
        planned.failed(step.name, failures[min(len(steps), len(failures) - 1)], now)
        steps.append(step)
    return steps


def test_the_table() -> None:
    assert again(RULES, UNREACHED) is Again.ANYBODY
    assert {status for status in range(201, 600) if again(RULES, answered(status)) is Again.ANYBODY} == RETRIED
    assert {status for status in range(201, 600) if again(RULES, answered(status)) is Again.OTHERS} == CREDENTIALS
    assert again(RULES, answered(401, other_key=True)) is Again.AT_ONCE
    assert again(RULES, Failure(Cause.RESET)) is Again.NOBODY
    assert again(RetryRules(resend_after_reset=True), Failure(Cause.RESET)) is Again.ANYBODY
    for cause in (Cause.LATE, Cause.BROKEN):
        assert again(RetryRules(resend_after_reset=True), Failure(cause)) is Again.NOBODY


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422, 204, 302, 501])
def test_what_another_attempt_would_not_mend_is_not_tried_again(status: int) -> None:
    assert attempts(plan("abc"), answered(status)) == [Step("a", 0.0)]


def test_backoff_doubles_up_to_its_cap() -> None:
    assert [step.pause for step in attempts(plan(attempts=6, max_wait=100.0), answered(500))] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize(("jitter", "pauses"), [(0.0, [0.0, 0.4, 0.8]), (0.999999, [0.0, 0.6, 1.2])])
def test_backoff_is_jittered_by_a_fifth(jitter: float, pauses: list[float]) -> None:
    assert [step.pause for step in attempts(plan(jitter=jitter), answered(500))] == pytest.approx(pauses, abs=1e-5)


def test_every_candidate_is_tried_before_one_is_tried_again() -> None:
    assert attempts(plan("abc", attempts=5), UNREACHED) == [("a", 0.0), ("b", 0.0), ("c", 0.0), ("a", 0.5), ("b", 0.0)]


def test_the_one_that_is_due_first_is_next() -> None:
    assert attempts(plan("ab", attempts=3), answered(429, 3.0), answered(503, 1.0)) == [("a", 0.0), ("b", 0.0), ("b", 1.0)]


def test_what_the_provider_asks_for_is_waited_for_and_not_shortened() -> None:
    assert attempts(plan(attempts=2), answered(429, 4.5)) == [("a", 0.0), ("a", 4.5)]
    assert attempts(plan(attempts=2), answered(429, 0.0)) == [("a", 0.0), ("a", 0.5)]


def test_who_asks_to_be_left_alone_for_long_is() -> None:
    assert attempts(plan(), answered(429, 5.1)) == [("a", 0.0)]
    assert attempts(plan("ab"), answered(429, 60.0), answered(500)) == [("a", 0.0), ("b", 0.0), ("b", 0.5)]


def test_another_key_of_the_same_provider_is_tried_at_once_before_other_candidates() -> None:
    steps = attempts(plan("ab"), answered(401, other_key=True), answered(402, other_key=False), answered(403))
    assert steps == [("a", 0.0), ("a", 0.0), ("b", 0.0)]


def test_a_limit_of_one_key_is_not_waited_for_with_another() -> None:
    assert attempts(plan(attempts=2), answered(429, 60.0, other_key=True)) == [("a", 0.0), ("a", 0.5)]


def test_pauses_together_have_a_cap() -> None:
    steps = attempts(plan(attempts=9, backoff=4.0, max_backoff=4.0, max_wait=9.0), answered(500))
    assert [step.pause for step in steps] == [0.0, 4.0, 4.0]


def test_no_pause_lasts_beyond_the_end_of_the_request() -> None:
    assert len(attempts(plan(ends=0.5), answered(500))) == 1
    assert len(attempts(plan(ends=0.51), answered(500))) == 2


def test_what_was_no_attempt_costs_none() -> None:
    planned = plan("ab", attempts=1)
    planned.begun("a")
    planned.undone("a")
    planned.drop("a")
    assert planned.next(0.0) == Step("b", 0.0)
    assert planned.attempts == 0


def test_a_candidate_that_is_dropped_is_not_tried_again() -> None:
    planned = plan("ab", attempts=9)
    planned.begun("a")
    planned.failed("a", answered(401, other_key=True), 0.0)
    planned.drop("a")
    planned.drop("b")
    assert planned.next(0.0) is None
    planned.drop("a")


class Budget(RuleBasedStateMachine):
    """Whatever fails in whatever order: never more attempts than the budget, never more waiting, nothing after an end, nobody after a drop."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = RetryRules(attempts=4, max_wait=6.0)
        self.planned = Plan(self.limits, ("a", "b", "c"), lambda: 0.5, ends=50.0)
        self.now = 0.0
        self.waited = 0.0
        self.made = 0
        self.dropped: set[str] = set()
        self.over = False

    @rule(
        cause=st.sampled_from([Cause.UNREACHED, Cause.ANSWERED, Cause.ANSWERED, Cause.RESET, Cause.LATE, Cause.BROKEN]),
        status=st.sampled_from(sorted(RETRIED | CREDENTIALS | {400, 404, 422})),
        pause=st.none() | st.floats(0, 30),
        other_key=st.booleans(),
        seconds=st.floats(0, 10),
    )
    def attempt(self, cause: Cause, status: int, pause: float | None, other_key: bool, seconds: float) -> None:
        step = self.planned.next(self.now)
        if step is None:
            return
        assert not self.over and step.name not in self.dropped and step.pause >= 0
        assert self.now + step.pause < 50.0 or step.pause == 0
        self.waited += step.pause
        self.now += step.pause + seconds
        self.planned.begun(step.name)
        self.made += 1
        failure = Failure(cause, status if cause is Cause.ANSWERED else 0, pause, other_key)
        self.planned.failed(step.name, failure, self.now)
        follows = again(self.limits, failure)
        self.over = follows is Again.NOBODY
        if follows is Again.OTHERS:
            self.dropped.add(step.name)

    @precondition(lambda self: not self.over)
    @rule()
    def refused(self) -> None:
        step = self.planned.next(self.now)
        if step is not None:
            self.waited += step.pause
            self.now += step.pause
            self.planned.drop(step.name)
            self.dropped.add(step.name)

    @invariant()
    def within_the_budget(self) -> None:
        assert self.made == self.planned.attempts <= self.limits.attempts
        assert self.waited <= self.limits.max_wait


TestBudget = Budget.TestCase
