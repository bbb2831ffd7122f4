"""Numbers that keep many from doing the same thing at once: jitter of times, and lots. No secret comes of them.

They are of a generator of our own. The one that the whole process shares may be seeded by anybody, who would bring all of them into step again.
"""

import random

_generator = random.Random()  # noqa: S311 - keeps no secret


def between(low: float, high: float) -> float:
    """A number from `low` to `high`."""
    return _generator.uniform(low, high)


def lot() -> float:
    """A number from 0 up to 1."""
    return _generator.random()
