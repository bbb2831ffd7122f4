"""Collateral of an installation: its directory, its cache, and whom the configuration says to ask."""

import contextlib
import copy
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from ollm.config.load import Loaded
from ollm.config.settings import CollateralSettings
from ollm.net.collateral import Asker, CollateralCache, PcsCollateral, Shelf, sigstore
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.fetch import HttpFetch
from ollm.net.provenance import embedded_trust_root
from ollm.ports import Clock, Fetch
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy


def shelf_of(loaded: Loaded, *, read_only: bool) -> Shelf | None:
    """The directory of collateral, which need not exist; None when the configuration names none."""
    settings = loaded.settings
    if not settings.collateral.directory:
        return None
    return Shelf(Path(loaded.path(settings.gateway.data_dir)) / settings.collateral.directory, read_only=read_only)


def sigstore_root(loaded: Loaded, now: int) -> bytes:
    """Sigstore's trusted root: the one that the configuration pins, else the library's own. Raises: ConfigError."""
    pinned = sigstore.trusted_root(shelf_of(loaded, read_only=True), loaded.settings.collateral.sigstore_root_sha256, now)
    return pinned if pinned is not None else embedded_trust_root()


def trust_root(loaded: Loaded, policy: AttestationPolicy, now: int) -> bytes | None:
    """Sigstore's trusted root where `policy` hears those who build; None where it doesn't. Raises: ConfigError."""
    return sigstore_root(loaded, now) if policy.provenance is not None and policy.provenance.builds else None


class Collateral:
    """The cache of one process, and those who fill it."""

    def __init__(self, loaded: Loaded, fetch: Fetch, clock: Clock, *, read_only: bool, shelved: bool = True) -> None:
        """`read_only`: for a command, which leaves the gateway's directory as it is; `shelved` False: for one that doesn't look into it."""
        self._loaded = loaded
        self.fetch = fetch
        shelf = shelf_of(loaded, read_only=read_only) if shelved else None
        self.cache = CollateralCache(clock, shelf=shelf, offline=shelved and loaded.settings.collateral.offline)
        self.asker = Asker(fetch, clock)

    def under(self, loaded: Loaded) -> "Collateral":
        """The same cache for another configuration, whose own settings of it are the same; who made it closes it."""
        other = copy.copy(self)
        other._loaded = loaded
        return other

    def sources(self, upstream: str | None) -> CollateralSettings:
        """Whom to ask about the hardware of `upstream`; of nobody's in particular, if None."""
        settings = self._loaded.settings.collateral
        if upstream is None:
            return settings
        own = self._loaded.settings.upstreams[upstream]
        return msgspec.structs.replace(settings, pcs_url=own.pcs_url or settings.pcs_url, root_crl_url=own.root_crl_url or settings.root_crl_url)

    def tdx(self, upstream: str | None) -> PcsCollateral:
        """Endorsements of TDX platforms from where `upstream` gets its own."""
        return self.machine(upstream).tdx

    def machine(self, upstream: str | None) -> MachineEndorser:
        """Endorsements of every technology, from where `upstream` gets its own."""
        return MachineEndorser(self.cache, self.asker, self.sources(upstream))

    def upstream_of(self, policy: str) -> str | None:
        """An upstream whose hardware is endorsed where that of `policy` is: one of the same policy, or any simulated one for a simulated policy."""
        settings = self._loaded.settings
        level = settings.policies[policy].level if policy in settings.policies else None
        for name, upstream in settings.upstreams.items():
            own = settings.policies.get(upstream.policy) if upstream.policy is not None else None
            if upstream.policy == policy or (own is not None and own.level is level is Level.SIMULATED):
                return name
        return None

    async def close(self) -> None:
        await self.cache.close()


@contextlib.asynccontextmanager
async def collateral_of(loaded: Loaded, clock: Clock, *, read_only: bool = True) -> AsyncIterator[Collateral]:
    """Collateral for one command, with a way to the network of its own."""
    fetch = HttpFetch()
    collateral = Collateral(loaded, fetch, clock, read_only=read_only)
    try:
        yield collateral
    finally:
        await collateral.close()
        await fetch.close()
