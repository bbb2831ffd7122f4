"""What enforces that nobody else reads a prompt (design: trust model)."""

import enum


class Level(enum.StrEnum):
    """Execution level of a route. Order of trust: tee, then zdr, then simulated."""

    TEE = "tee"
    ZDR = "zdr"
    SIMULATED = "simulated"

    def satisfies(self, floor: "Level") -> bool:
        """Whether a route of this level may serve a request that demands `floor`."""
        return _RANK[self] >= _RANK[floor]


_RANK = {Level.SIMULATED: 0, Level.ZDR: 1, Level.TEE: 2}


def strictest(*levels: Level) -> Level:
    """The highest of `levels`: requirements of key, config and request only tighten each other."""
    return max(levels, key=lambda level: _RANK[level])
