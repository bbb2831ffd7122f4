"""Demands only tighten each other, and routes are what is left."""

import itertools

import pytest

from ollm.traffic.routes import affordable, candidates, demand, preferred
from ollm.values.hexes import Hex32
from ollm.values.level import Level, strictest
from ollm.values.price import Price
from ollm.wire.preferences import MaxPrice, Preferences

AB, CD = Hex32("ab" * 32), Hex32("cd" * 32)

LEVELS = {"enclave": Level.TEE, "contract": Level.ZDR, "played": Level.SIMULATED}


@pytest.mark.parametrize(("config", "key"), list(itertools.product(Level, Level)))
@pytest.mark.parametrize("verified", [False, True])
def test_the_strictest_of_configuration_key_and_request_holds(config: Level, key: Level, verified: bool) -> None:
    wanted = demand(config, key, Preferences(verified=verified))
    assert wanted.floor is strictest(config, key, *([Level.TEE] if verified else []))
    assert wanted.session_ids == frozenset()


def test_named_sessions_are_accepted_whatever_their_level_within_the_floors() -> None:
    wanted = demand(Level.SIMULATED, Level.SIMULATED, Preferences(verified=True, session_ids=(AB, AB, CD)))
    assert wanted.floor is Level.SIMULATED
    assert wanted.session_ids == {AB, CD}
    assert demand(Level.TEE, Level.SIMULATED, Preferences(verified=True, session_ids=(AB,))).floor is Level.TEE


@pytest.mark.parametrize(
    ("floor", "left"),
    [(Level.TEE, ["enclave"]), (Level.ZDR, ["contract", "enclave"]), (Level.SIMULATED, ["played", "contract", "enclave"])],
)
def test_candidates_keep_their_order(floor: Level, left: list[str]) -> None:
    assert candidates(("played", "contract", "enclave"), LEVELS, floor) == left


def test_no_upstream_is_no_candidate() -> None:
    assert candidates((), LEVELS, Level.SIMULATED) == []


@pytest.mark.parametrize("least", Level)
def test_a_level_that_the_caller_asks_for_lifts_the_floor_and_never_lowers_it(least: Level) -> None:
    for config, key in itertools.product(Level, Level):
        assert demand(config, key, Preferences(level=least)).floor is strictest(config, key, least)
    named = demand(Level.SIMULATED, Level.SIMULATED, Preferences(level=least, verified=True, session_ids=(AB,)))
    assert named.floor is least, "named sessions are accepted whatever their level, and what else is demanded holds"


NAMES = ("a", "b", "c")


@pytest.mark.parametrize(
    ("preferences", "left"),
    [
        (Preferences(), ["a", "b", "c"]),
        (Preferences(order=("c", "b")), ["c", "b", "a"]),
        (Preferences(order=("c", "elsewhere")), ["c", "a", "b"]),
        (Preferences(order=("c", "b"), allow_fallbacks=False), ["c", "b"]),
        (Preferences(order=("elsewhere",), allow_fallbacks=False), []),
        (Preferences(allow_fallbacks=False), ["a", "b", "c"]),  # which of them is the first is decided later
        (Preferences(only=("b", "elsewhere")), ["b"]),
        (Preferences(only=("elsewhere",)), []),
        (Preferences(ignore=("a", "c")), ["b"]),
        (Preferences(only=("a", "b"), ignore=("c",), order=("b",)), ["b", "a"]),
        (Preferences(require_parameters=True), ["a", "c"]),
        (Preferences(max_price=MaxPrice(prompt=100)), ["a", "b", "c"]),
        (Preferences(max_price=MaxPrice(prompt=99)), []),
        (Preferences(max_price=MaxPrice(completion=200)), ["a", "b", "c"]),
        (Preferences(max_price=MaxPrice(prompt=100, completion=199)), []),
        (Preferences(max_price=MaxPrice()), ["a", "b", "c"]),
    ],
)
def test_what_the_caller_prefers_is_left(preferences: Preferences, left: list[str]) -> None:
    assert preferred(NAMES, preferences, {"a", "c"}, Price(100, 200)) == left


def test_a_price_that_nobody_knows_is_too_high() -> None:
    assert not affordable(MaxPrice(), None)
    assert not affordable(MaxPrice(prompt=1), Price(output=1))
    assert affordable(MaxPrice(completion=1), Price(output=1))
    assert preferred(NAMES, Preferences(max_price=MaxPrice(prompt=10**12)), NAMES, None) == []
