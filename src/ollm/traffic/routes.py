"""Which upstreams may serve a request, in which order: a function of configuration and demand, nothing else."""

from collections.abc import Mapping, Sequence

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
