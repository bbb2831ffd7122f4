"""What enforces that nobody else reads a prompt (design: trust model)."""

import enum


class Level(enum.StrEnum):
    """Execution level of a route. Order of trust: tee, then zdr, then simulated."""

    TEE = "tee"
    ZDR = "zdr"
    SIMULATED = "simulated"

    rank: int  # set below; an attribute, because a table keyed by enum members hashes them in Python

    def satisfies(self, floor: "Level") -> bool:
        """Whether a route of this level may serve a request that demands `floor`."""
        return self.rank >= floor.rank


Level.SIMULATED.rank, Level.ZDR.rank, Level.TEE.rank = 0, 1, 2


def _rank(level: Level) -> int:
    return level.rank


def strictest(*levels: Level) -> Level:
    """The highest of `levels`: requirements of key, config and request only tighten each other."""
    return max(levels, key=_rank)
