"""The circuit breaker: opens on failures, lets one probe through, and believes what that says."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ollm.traffic.breaker import Breaker, BreakerRules, State

RULES = BreakerRules(failures=3, window=10, rate=0.5, open_seconds=5.0, max_open_seconds=12.0)


def state_of(breaker: Breaker) -> State:
    return breaker.state


def opened(rules: BreakerRules = RULES) -> Breaker:
    breaker = Breaker(rules)
    for _ in range(rules.failures):
        breaker.failed(0.0)
    assert state_of(breaker) is State.OPEN
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES)
    for failed in (True, True, False, True, True):
        breaker.failed(0.0) if failed else breaker.answered()
        assert (breaker.state, breaker.due_in(0.0)) == (State.CLOSED, 0.0)
    breaker.failed(1.0)
    assert (breaker.state, breaker.due_in(1.0), breaker.due_in(4.0), breaker.due_in(99.0)) == (State.OPEN, 5.0, 2.0, 0.0)


def test_so_does_a_rate_of_failures_over_a_whole_window() -> None:
    breaker = Breaker(RULES)
    for number in range(9):
        breaker.failed(0.0) if number % 2 else breaker.answered()
    assert state_of(breaker) is State.CLOSED
    breaker.failed(0.0)
    assert state_of(breaker) is State.OPEN


def test_less_than_the_rate_does_not() -> None:
    breaker = Breaker(RULES)
    for number in range(100):
        breaker.failed(0.0) if number % 3 == 0 else breaker.answered()
    assert state_of(breaker) is State.CLOSED


def test_one_probe_goes_out_and_its_answer_closes_it() -> None:
    breaker = opened()
    assert not breaker.begun(4.9)
    assert breaker.begun(5.0)
    assert (breaker.state, breaker.due_in(5.0)) == (State.HALF_OPEN, 5.0)
    assert not breaker.begun(5.0)
    breaker.answered()
    assert (breaker.state, breaker.due_in(5.0)) == (State.CLOSED, 0.0)


def test_a_probe_that_fails_doubles_the_pause_up_to_its_cap() -> None:
    breaker, now = opened(), 0.0
    for pause in (5.0, 10.0, 12.0, 12.0):
        assert breaker.due_in(now) == pause
        now += pause
        assert breaker.begun(now)
        breaker.failed(now)
        assert state_of(breaker) is State.OPEN
    now += 12.0
    breaker.begun(now)
    breaker.answered()
    for _ in range(3):
        breaker.failed(now)
    assert breaker.due_in(now) == 5.0, "it closed: pauses begin anew"


def test_a_probe_without_a_verdict_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.begun(6.0)
    breaker.given_up(7.0)
    assert (breaker.state, breaker.due_in(7.0)) == (State.OPEN, 0.0)
    assert breaker.begun(7.0)
    breaker.answered()
    breaker.given_up(8.0)
    assert state_of(breaker) is State.CLOSED


def test_late_news_of_older_requests_does_not_keep_it_open_longer() -> None:
    breaker = opened()
    breaker.failed(4.0)
    assert breaker.due_in(4.0) == 1.0
    breaker.answered()
    assert state_of(breaker) is State.CLOSED


def test_who_is_judged_again_is_counted_once() -> None:
    breaker = Breaker(RULES)
    mine = breaker.failed(0.0)
    for _ in range(5):
        assert breaker.failed(0.0, mine) is mine
    breaker.failed(0.0)
    assert state_of(breaker) is State.CLOSED
    assert breaker.answered(mine) is mine, "the last one counts"
    breaker.failed(0.0)
    assert state_of(breaker) is State.CLOSED
    breaker.failed(0.0)
    assert state_of(breaker) is State.OPEN


def test_what_breaks_off_is_a_failure_where_it_began() -> None:
    breaker = Breaker(RULES)
    begun = [breaker.answered() for _ in range(3)]
    breaker.answered()
    for verdict in begun:
        breaker.failed(0.0, verdict)
    assert state_of(breaker) is State.CLOSED, "who began behind them goes on"
    begun = [breaker.answered() for _ in range(3)]
    for verdict in begun:
        assert state_of(breaker) is State.CLOSED
        breaker.failed(1.0, verdict)
    assert state_of(breaker) is State.OPEN


def test_a_verdict_from_before_it_opened_or_closed_changes_nothing_that_came_after() -> None:
    breaker = Breaker(RULES)
    early = breaker.answered()
    for _ in range(3):
        breaker.failed(0.0)
    assert breaker.failed(1.0, early) is early, "it is open"
    assert not early.failed
    breaker.answered()
    later = breaker.failed(1.0, early)
    assert later is not early
    assert later is not None
    assert later.failed


def test_a_row_may_be_longer_than_the_window() -> None:
    breaker = Breaker(BreakerRules(failures=6, window=2, rate=1.0))
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert state_of(breaker) is State.OPEN, "all of the window"
    breaker = Breaker(BreakerRules(failures=4, window=10, rate=1.0))
    for _ in range(4):
        assert state_of(breaker) is State.CLOSED
        breaker.failed(0.0)
    assert state_of(breaker) is State.OPEN


def test_it_can_be_switched_off() -> None:
    breaker = Breaker(BreakerRules(failures=0, window=1, rate=0.1))
    for _ in range(100):
        breaker.failed(0.0)
    assert state_of(breaker) is State.CLOSED


class Course(RuleBasedStateMachine):
    """Whatever happens: at most one probe at a time, none before its time, and no way out of open but time or an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now = 0.0
        self.row = 0
        self.probing = False

    @rule(seconds=st.floats(0, 8))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_request_comes(self) -> None:
        before, due = self.breaker.state, self.breaker.due_in(self.now)
        probe = self.breaker.begun(self.now)
        assert probe == (before is State.OPEN and due == 0.0)
        assert not (probe and self.probing)
        self.probing = self.probing or probe

    @rule()
    def it_is_answered(self) -> None:
        self.breaker.answered()
        assert self.breaker.state is State.CLOSED
        self.row, self.probing = 0, False

    @rule()
    def it_fails(self) -> None:
        before = self.breaker.state
        self.breaker.failed(self.now)
        if before is State.HALF_OPEN:
            assert self.breaker.state is State.OPEN
            assert self.breaker.due_in(self.now) > 0
        self.row = self.row + 1 if before is State.CLOSED else 0
        self.probing = False
        if self.row >= RULES.failures:
            assert self.breaker.state is State.OPEN
        if self.breaker.state is State.OPEN:
            self.row = 0

    @rule()
    def its_client_leaves(self) -> None:
        before = self.breaker.state
        self.breaker.given_up(self.now)
        assert (self.breaker.state is before) or (before is State.HALF_OPEN and self.breaker.due_in(self.now) == 0.0)
        self.probing = False

    @invariant()
    def it_says_when_it_is_due(self) -> None:
        due = self.breaker.due_in(self.now)
        assert 0.0 <= due <= RULES.max_open_seconds
        assert (self.breaker.state is State.HALF_OPEN) == self.probing
        if self.breaker.state is State.CLOSED:
            assert due == 0.0


TestCourse = Course.TestCase


@pytest.mark.parametrize("state", State)
def test_states_have_names_for_people(state: State) -> None:
    assert state in ("closed", "open", "half_open")
