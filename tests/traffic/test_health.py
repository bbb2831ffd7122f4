"""What is known of routes: counted once, faded with time, told apart by model and upstream."""

import pytest

from ollm.traffic.breaker import Breaker, BreakerRules, State
from ollm.traffic.health import Attempt, Board, Seen

RULES = BreakerRules(failures=2)


def state_of(breaker: Breaker) -> State:
    return breaker.state


def test_a_route_is_a_model_at_an_upstream() -> None:
    board = Board(RULES)
    for _ in range(2):
        attempt = Attempt(board, "broken", "up", 0.0)
        attempt.failed(1.0)
        attempt.over(1.0)
    assert board.of("broken", "up").seen(1.0) == Seen(State.OPEN, 5.0, None, None)
    assert board.of("good", "up").seen(1.0) == Seen(State.CLOSED, 0.0, None, None)
    assert board.of("broken", "other").breaker.state is State.CLOSED


def test_what_is_under_way_is_counted_for_the_upstream_and_once() -> None:
    board = Board(RULES)
    first, second = Attempt(board, "a", "up", 0.0), Attempt(board, "b", "up", 0.0)
    assert (board.busy("up"), board.busy("other")) == (2, 0)
    first.over(1.0)
    first.over(1.0)
    assert board.busy("up") == 1
    second.over(1.0)
    assert board.busy("up") == 0


def test_a_probe_that_ends_without_a_verdict_is_given_up() -> None:
    board = Board(RULES)
    breaker = board.of("m", "up").breaker
    breaker.failed(0.0)
    breaker.failed(0.0)
    probe, beside = Attempt(board, "m", "up", 6.0), Attempt(board, "m", "up", 6.0)
    beside.over(7.0)
    assert state_of(breaker) is State.HALF_OPEN, "only the probe itself can give it up"
    probe.over(7.0)
    assert (state_of(breaker), breaker.due_in(7.0)) == (State.OPEN, 0.0)
    answered = Attempt(board, "m", "up", 7.0)
    answered.first_byte(0.5, 7.5)
    answered.over(9.0)
    assert state_of(breaker) is State.CLOSED


def test_means_follow_what_is_measured_and_fade() -> None:
    board = Board(RULES)
    health = board.of("m", "up")
    assert (health.first.fading(0.0), health.first.value) == (0.0, None)
    for seconds in (1.0, 2.0):
        attempt = Attempt(board, "m", "up", 0.0)
        attempt.first_byte(seconds, 10.0)
        attempt.spoke(60, 2.0, 12.0)
        attempt.spoke(0, 2.0, 12.0)
        attempt.spoke(60, 0.0, 12.0)
        attempt.over(12.0)
    seen = health.seen(12.0)
    assert seen.first_seconds == pytest.approx(1.2)
    assert seen.tokens_per_second == pytest.approx(30.0)
    assert health.first.fading(10.0) == pytest.approx(1.2)
    assert health.first.fading(70.0) == pytest.approx(0.6)


def test_attempts_of_one_request_over_one_route_count_once() -> None:
    board = Board(RULES)
    first = Attempt(board, "m", "up", 0.0)
    first.failed(1.0)
    second = Attempt(board, "m", "up", 1.0, first)
    second.failed(2.0)
    third = Attempt(board, "m", "up", 2.0, second)
    third.failed(3.0)
    breaker = board.of("m", "up").breaker
    assert state_of(breaker) is State.CLOSED
    other = Attempt(board, "m", "up", 3.0)
    other.failed(4.0)
    assert state_of(breaker) is State.OPEN


def test_a_request_that_is_answered_in_the_end_is_no_failure() -> None:
    board = Board(RULES)
    for _ in range(5):
        first = Attempt(board, "m", "up", 0.0)
        first.failed(1.0)
        Attempt(board, "m", "up", 1.0, first).first_byte(0.1, 2.0)
    assert state_of(board.of("m", "up").breaker) is State.CLOSED


def test_what_breaks_off_behind_a_good_beginning_is_one_failure_and_stays_one() -> None:
    board = Board(RULES)
    breaker = board.of("m", "up").breaker
    for expected in (State.CLOSED, State.OPEN):
        attempt = Attempt(board, "m", "up", 0.0)
        attempt.first_byte(0.1, 0.1)
        attempt.failed(1.0)
        attempt.failed(1.0)
        attempt.first_byte(9.0, 9.0)
        attempt.answered()
        attempt.over(2.0)
        assert state_of(breaker) is expected
    assert board.of("m", "up").first.value == pytest.approx(0.1)
