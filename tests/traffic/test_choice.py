"""Who is tried first: among peers only, and nobody is lost by it."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.traffic import choice
from ollm.traffic.breaker import BreakerRules
from ollm.traffic.choice import arranged, turns
from ollm.traffic.health import Attempt, Board
from ollm.values.level import Level
from ollm.wire.preferences import Preferences, Sort

PEERS = {"a": Level.TEE, "b": Level.ZDR, "c": Level.TEE, "d": Level.TEE}


def board_with(first: dict[str, float] | None = None, speed: dict[str, float] | None = None, busy: dict[str, int] | None = None) -> Board:
    board = Board(BreakerRules())
    for name, seconds in (first or {}).items():
        board.of("m", name).first.add(seconds, 0.0)
    for name, tokens in (speed or {}).items():
        board.of("m", name).speed.add(tokens, 0.0)
    for name, count in (busy or {}).items():
        for _ in range(count):
            Attempt(board, "m", name, 0.0)
    return board


def test_those_that_are_ready_and_of_one_level_take_turns() -> None:
    orders = [arranged("abcd", PEERS, lambda name: True, turns(turn)) for turn in range(4)]
    assert orders == [["a", "c", "d", "b"], ["c", "d", "a", "b"], ["d", "a", "c", "b"], ["a", "c", "d", "b"]]


def test_one_that_is_not_ready_is_left_for_the_end() -> None:
    assert arranged("abcd", PEERS, lambda name: name in "cd", turns(1)) == ["d", "c", "a", "b"]


def test_a_machine_that_is_not_verified_now_makes_no_room_for_a_route_that_nobody_verifies() -> None:
    assert arranged("abcd", PEERS, lambda name: name == "b", turns(5)) == ["a", "b", "c", "d"]


def test_with_none_ready_the_order_is_that_of_the_configuration() -> None:
    assert arranged("abcd", PEERS, lambda name: False, turns(3)) == ["a", "b", "c", "d"]
    assert arranged("", PEERS, lambda name: True, turns(3)) == []


@given(st.lists(st.sampled_from("abcd"), unique=True), st.sets(st.sampled_from("abcd")), st.permutations("abcd"))
def test_no_rule_loses_a_route_or_puts_another_level_first_than_the_configuration(names: list[str], ready: set[str], preferred: list[str]) -> None:
    found = arranged(names, PEERS, ready.__contains__, lambda peers: sorted(peers, key=preferred.index))
    assert sorted(found) == sorted(names)
    if names:
        assert PEERS[found[0]] is PEERS[names[0]]


def test_lots_fall_by_weight() -> None:
    rule = choice.weighted({"a": 3, "b": 1}, random.Random(5).random)
    first = Counter(rule("ab")[0] for _ in range(4000))
    assert first["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    rule = choice.weighted({}, random.Random(5).random)
    assert Counter(rule("abc")[0] for _ in range(3000))["c"] == pytest.approx(1000, abs=100)


def test_the_least_busy_for_its_weight_is_first() -> None:
    board = board_with(busy={"a": 3, "b": 1, "c": 2})
    assert choice.least_busy(board, {})("abcd") == ["d", "b", "c", "a"]
    assert choice.least_busy(board, {"a": 4})("abc") == ["a", "b", "c"]
    assert choice.least_busy(Board(BreakerRules()), {})("cab") == ["c", "a", "b"]


def test_who_will_answer_first_is_first_and_who_is_unknown_is_tried() -> None:
    board = board_with(first={"a": 1.0, "b": 0.4}, busy={"b": 1})
    assert choice.fastest(board, "m", 0.0)("abc") == ["c", "b", "a"]
    board = board_with(first={"a": 1.0, "b": 0.4}, busy={"b": 2})
    assert choice.fastest(board, "m", 0.0)("ab") == ["a", "b"]


def test_a_route_that_was_slow_long_ago_is_tried_again() -> None:
    board = board_with(first={"slow": 10.0, "quick": 1.0})
    assert choice.fastest(board, "m", 0.0)(["slow", "quick"])[0] == "quick"
    board.of("m", "quick").first.add(1.0, 300.0)
    assert choice.fastest(board, "m", 300.0)(["slow", "quick"])[0] == "slow"


@pytest.mark.parametrize(("sort", "order"), [("latency", "bac"), ("throughput", "cab"), ("price", "abc")])
def test_callers_sort_by_what_is_known(sort: Sort, order: str) -> None:
    board = board_with(first={"a": 1.0, "b": 0.5}, speed={"a": 10.0, "c": 20.0})
    assert list(choice.sorted_by(Preferences(sort=sort), board, "m")("abc")) == list(order)


def test_routes_that_rest_come_last_and_the_one_due_soonest_before_the_others() -> None:
    due = {"a": 4.0, "b": 0.0, "c": 2.0, "d": 0.0}
    assert choice.resting_last("abcd", due.__getitem__) == ["b", "d", "c", "a"]
