"""From the configuration to counters."""

import os
from typing import Protocol

from ollm.config.load import Loaded
from ollm.errors import ConfigError
from ollm.ports import Clock, Counters
from ollm.store.counters.memory import MemoryCounters


class OpenCounters(Counters, Protocol):
    """Counters that hold connections."""

    async def close(self) -> None: ...


def open_counters(loaded: Loaded, clock: Clock) -> OpenCounters:
    """The counters that `loaded` asks for. Nothing is connected yet: a store that is away is no reason not to start. Raises: ConfigError."""
    settings = loaded.settings.counters
    if settings.backend == "memory":
        return MemoryCounters(clock.monotonic, lease_seconds=settings.lease_seconds)
    from ollm.store.counters.fallback import FallbackCounters, Rules  # their library is an extra
    from ollm.store.counters.valkey import Place, ValkeyCounters

    if settings.url is None:
        raise ConfigError("counters.url is not set", "name the server")
    place = Place(
        url=settings.url,
        username=settings.username,
        password=None if settings.password is None else loaded.secret(settings.password),
        ca=None if settings.ca is None else loaded.path(settings.ca),
        prefix=settings.prefix,
        timeout=settings.timeout_seconds,
    )
    shared = ValkeyCounters(place, os.urandom, lease_seconds=settings.lease_seconds)
    rules = Rules(when_away=settings.when_away, local_share_permille=round(settings.local_share * 1000))
    return FallbackCounters(shared, rules, clock.monotonic, clock.now_ms)
