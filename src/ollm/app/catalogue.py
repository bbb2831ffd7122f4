"""A route to one upstream for a command: a machine that is verified now, or a provider without evidence."""

import contextlib
from collections.abc import AsyncIterator

from ollm.app.build import open_route, provider_session
from ollm.app.collateral import Collateral
from ollm.config.load import Loaded
from ollm.upstream.catalogue import Catalogue
from ollm.upstream.session import Route


@contextlib.asynccontextmanager
async def route_to(loaded: Loaded, name: str, collateral: Collateral | None = None, *, url: str | None = None) -> AsyncIterator[Route]:
    """A route to upstream `name`, or to its machine at `url`, closed in the end; `collateral` to share a cache. Raises: Unverified, ConfigError."""
    if loaded.settings.upstreams[name].policy is not None:
        async with provider_session(loaded, name, collateral, url=url) as session:
            yield session
        return
    held = open_route(loaded, name)
    try:
        yield held.held()
    finally:
        await held.close()


async def catalogue_of(loaded: Loaded, name: str) -> Catalogue:
    """What the provider of upstream `name` lists, told by a machine that is verified first, where there is evidence.

    Raises: Unverified, UpstreamError, ChannelRefused, WireError, ConfigError.
    """
    async with route_to(loaded, name) as route:
        return await route.catalogue()
