"""Which upstreams may serve a request: a function of configuration, key and the caller's preferences, nothing else."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from ollm.values.level import Level, strictest
from ollm.values.price import Price
from ollm.wire.preferences import MaxPrice, Preferences


class Demand(msgspec.Struct, frozen=True):
    """What must hold for a route: the strictest of configuration, key and request."""

    floor: Level
    session_ids: frozenset[str] = frozenset()


def demand(config_floor: Level, key_floor: Level, preferences: Preferences) -> Demand:
    """Combine the three: each only tightens.

    `verified` asks for hardware attestation, so it lifts the floor to tee. Naming sessions is the caller's own acceptance
    of exactly these, whatever their level, within the floors of key and configuration.
    """
    floor = strictest(config_floor, key_floor, preferences.level)
    if preferences.verified and not preferences.session_ids:
        floor = strictest(floor, Level.TEE)
    return Demand(floor, frozenset(preferences.session_ids))


def candidates(upstreams: Sequence[str], levels: Mapping[str, Level], floor: Level) -> list[str]:
    """Those of `upstreams`, in their order, whose level satisfies `floor`."""
    return [name for name in upstreams if levels[name].satisfies(floor)]


def preferred(names: Sequence[str], preferences: Preferences, native: Collection[str], price: Price | None) -> list[str]:
    """Those of `names` that the caller lets serve, the ones that it names in `order` first.

    `native` take the request as it is; `price` is the model's, None where it is not configured.
    """
    if preferences.max_price is not None and not affordable(preferences.max_price, price):
        return []
    left = [
        name
        for name in names
        if (not preferences.only or name in preferences.only)
        and name not in preferences.ignore
        and (name in native or not preferences.require_parameters)
    ]
    ordered = [name for name in preferences.order if name in left]
    if preferences.order and not preferences.allow_fallbacks:
        return ordered
    return [*ordered, *(name for name in left if name not in ordered)]


def affordable(most: MaxPrice, price: Price | None) -> bool:
    """Whether `price` is within `most`. One that nobody knows is not, whatever it may be."""
    if price is None:
        return False
    return _within(price.input, most.prompt) and _within(price.output, most.completion)


def _within(rate: int | None, most: int | None) -> bool:
    return most is None or (rate is not None and rate <= most)
