"""Demands only tighten each other, and routes are what is left."""

import itertools

import pytest

from ollm.traffic.routes import candidates, demand, spread
from ollm.values.level import Level, strictest

LEVELS = {"enclave": Level.TEE, "contract": Level.ZDR, "played": Level.SIMULATED}


@pytest.mark.parametrize(("config", "key"), list(itertools.product(Level, Level)))
@pytest.mark.parametrize("verified", [False, True])
def test_the_strictest_of_configuration_key_and_request_holds(config: Level, key: Level, verified: bool) -> None:
    wanted = demand(config, key, verified=verified, session_ids=())
    assert wanted.floor is strictest(config, key, *([Level.TEE] if verified else []))
    assert wanted.session_ids == frozenset()


def test_named_sessions_are_accepted_whatever_their_level_within_the_floors() -> None:
    wanted = demand(Level.SIMULATED, Level.SIMULATED, verified=True, session_ids=("ab" * 32, "ab" * 32, "cd" * 32))
    assert wanted.floor is Level.SIMULATED
    assert wanted.session_ids == {"ab" * 32, "cd" * 32}
    assert demand(Level.TEE, Level.SIMULATED, verified=True, session_ids=("ab" * 32,)).floor is Level.TEE


@pytest.mark.parametrize(
    ("floor", "left"),
    [(Level.TEE, ["enclave"]), (Level.ZDR, ["contract", "enclave"]), (Level.SIMULATED, ["played", "contract", "enclave"])],
)
def test_candidates_keep_their_order(floor: Level, left: list[str]) -> None:
    assert candidates(("played", "contract", "enclave"), LEVELS, floor) == left


def test_no_upstream_is_no_candidate() -> None:
    assert candidates((), LEVELS, Level.SIMULATED) == []


PEERS = {"a": Level.TEE, "b": Level.ZDR, "c": Level.TEE, "d": Level.TEE}


def test_those_that_are_ready_and_of_one_level_take_turns() -> None:
    orders = [spread("abcd", PEERS, lambda name: True, turn) for turn in range(4)]
    assert orders == [["a", "c", "d", "b"], ["c", "d", "a", "b"], ["d", "a", "c", "b"], ["a", "c", "d", "b"]]


def test_one_that_is_not_ready_is_left_for_the_end() -> None:
    assert spread("abcd", PEERS, lambda name: name in "cd", 1) == ["d", "c", "a", "b"]
    assert spread("abcd", PEERS, lambda name: name == "b", 5) == ["b", "a", "c", "d"]


def test_with_none_ready_the_order_is_that_of_the_configuration() -> None:
    assert spread("abcd", PEERS, lambda name: False, 3) == ["a", "b", "c", "d"]
    assert spread("", PEERS, lambda name: True, 3) == []
