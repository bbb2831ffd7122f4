"""Jitter and lots are numbers of a generator that nobody else seeds, and that seeds nobody else's."""

import random

from ollm.net import spread


def test_numbers_are_where_they_were_asked_for() -> None:
    assert all(2.0 <= spread.between(2.0, 3.0) <= 3.0 for _ in range(1000))
    assert all(0.0 <= spread.lot() < 1.0 for _ in range(1000))
    assert spread.between(1.5, 1.5) == 1.5


def test_the_generator_of_the_process_is_neither_used_nor_heeded() -> None:
    before = random.getstate()
    first = [spread.between(0, 1), spread.lot()]
    assert random.getstate() == before
    try:
        random.seed(7)
        one = spread.lot()
        random.seed(7)
        assert spread.lot() != one
    finally:
        random.setstate(before)
    assert len(set(first)) == 2
