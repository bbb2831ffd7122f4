"""Order of trust: nothing weaker ever satisfies a demand."""

import itertools

import pytest

from ollm.values.level import Level, strictest

WEAKEST_FIRST = [Level.SIMULATED, Level.ZDR, Level.TEE]


@pytest.mark.parametrize(("offered", "demanded"), list(itertools.product(Level, Level)))
def test_a_level_satisfies_itself_and_what_is_weaker(offered: Level, demanded: Level) -> None:
    assert offered.satisfies(demanded) is (WEAKEST_FIRST.index(offered) >= WEAKEST_FIRST.index(demanded))


@pytest.mark.parametrize("levels", list(itertools.product(Level, repeat=3)))
def test_requirements_only_tighten(levels: tuple[Level, ...]) -> None:
    demanded = strictest(*levels)
    assert demanded in levels
    assert all(demanded.satisfies(level) for level in levels)


def test_every_level_has_a_rank() -> None:
    assert set(WEAKEST_FIRST) == set(Level)
    assert [str(level) for level in Level] == ["tee", "zdr", "simulated"]
