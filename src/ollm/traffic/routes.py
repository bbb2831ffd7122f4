"""Which upstreams may serve a request, in which order: a function of configuration and demand, nothing else."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from ollm.values.level import Level, strictest


class Demand(msgspec.Struct, frozen=True):
    """What must hold for a route: the strictest of configuration, key and request."""

    floor: Level
    session_ids: frozenset[str] = frozenset()


def demand(config_floor: Level, key_floor: Level, *, verified: bool, session_ids: Sequence[str]) -> Demand:
    """Combine the three: each only tightens.

    `verified` asks for hardware attestation, so it lifts the floor to tee. Naming sessions is the caller's own acceptance
    of exactly these, whatever their level, within the floors of key and configuration.
    """
    floor = strictest(config_floor, key_floor)
    if verified and not session_ids:
        floor = strictest(floor, Level.TEE)
    return Demand(floor, frozenset(session_ids))


def candidates(upstreams: Sequence[str], levels: Mapping[str, Level], floor: Level) -> list[str]:
    """Those of `upstreams`, in their order, whose level satisfies `floor`."""
    return [name for name in upstreams if levels[name].satisfies(floor)]


def spread(names: Sequence[str], levels: Mapping[str, Level], ready: Callable[[str], bool], turn: int) -> list[str]:
    """`names` with those in front that are `ready` and of the level of the first ready one, beginning with another at each `turn`.

    The others follow in their order, so that nothing that could serve is lost.
    """
    able = [name for name in names if ready(name)]
    peers = [name for name in able if levels[name] is levels[able[0]]]
    begin = turn % len(peers) if peers else 0
    return [*peers[begin:], *peers[:begin], *(name for name in names if name not in peers)]
