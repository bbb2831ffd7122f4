"""Composition root: from a configuration to the ways to its upstreams, verified or not."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

import msgspec

from ollm.app.collateral import Collateral, collateral_of, trust_root
from ollm.app.installation import data_directory as data_directory
from ollm.app.installation import kept_of as kept_of
from ollm.app.installation import level_of as level_of
from ollm.app.installation import place_of_store as place_of_store
from ollm.app.installation import store_of as store_of
from ollm.config.load import Loaded
from ollm.config.settings import UpstreamSettings
from ollm.errors import ConfigError, UpstreamError, WireError
from ollm.net.clock import SystemClock
from ollm.net.collateral import PcsCollateral
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.fetch import HttpFetch
from ollm.net.pool import Pool
from ollm.ports import Clock
from ollm.upstream.asking import Asking, asking, origin_of
from ollm.upstream.credentials import Credentials
from ollm.upstream.keeper import OpenRoute
from ollm.upstream.provider import Provider, Tools
from ollm.upstream.registry import MACHINES, OPEN, PROVIDERS
from ollm.upstream.session import UnattestedRoute, VerifiedSession, establish
from ollm.values.policy import AttestationPolicy
from ollm.values.secret import Sealed


class Verification(NamedTuple):
    """What a verification of one upstream takes."""

    policy: AttestationPolicy
    provider: Provider
    endorser: MachineEndorser
    trust_root: bytes | None


def verification(
    loaded: Loaded, name: str, collateral: Collateral, now: int, ask: Asking, api_key: Sealed | None, *, url: str | None = None
) -> Verification:
    """How upstream `name` is verified, or its machine at `url`; its collateral is cached between verifications. Raises: ConfigError."""
    settings = loaded.settings
    upstream = _at(settings.upstreams[name], url)
    if upstream.policy is None:
        raise ConfigError(f"upstream {name!r} has no evidence to verify: its level is zdr", "name one whose adapter has evidence")
    policy = settings.policies[upstream.policy]
    provider = PROVIDERS[upstream.adapter](upstream, api_key, Tools(ask, collateral.fetch, settings.collateral.nras_url, policy))
    return Verification(policy, provider, collateral.machine(name), trust_root(loaded, policy, now))


def api_key_of(loaded: Loaded, name: str) -> Credentials | None:
    """The credentials for upstream `name`, where it has some. Raises: ConfigError."""
    sources = loaded.settings.upstreams[name].key_sources
    return Credentials([loaded.secret(source) for source in sources]) if sources else None


def _at(upstream: UpstreamSettings, url: str | None) -> UpstreamSettings:
    return upstream if url is None else msgspec.structs.replace(upstream, url=url)


def verifier(
    loaded: Loaded, name: str, collateral: Collateral, clock: Clock, url: str | None = None
) -> Callable[[], Coroutine[Any, Any, VerifiedSession]]:
    """What verifies upstream `name`, or its machine at `url`, anew at each call. Raises: ConfigError."""
    keys = api_key_of(loaded, name)
    policy, provider, endorser, root = verification(loaded, name, collateral, clock.now(), asking, keys, url=url)
    upstream, timeouts = _at(loaded.settings.upstreams[name], url), loaded.settings.gateway.timeouts

    def verify() -> Coroutine[Any, Any, VerifiedSession]:
        return establish(name, upstream, policy, provider, endorser, clock=clock, trust_root=root, timeouts=timeouts, credentials=keys)

    return verify


async def machine_urls(loaded: Loaded, name: str, collateral: Collateral) -> tuple[str, ...]:
    """URLs of the machines of upstream `name`, as the gateway would find them now; its own where it has no others. Raises: nothing."""
    upstream = loaded.settings.upstreams[name]
    if upstream.max_machines is None:
        return (upstream.url,)
    try:
        return await MACHINES[upstream.adapter](upstream, collateral.fetch).urls() or (upstream.url,)
    except (UpstreamError, WireError):
        return (upstream.url,)


def open_route(loaded: Loaded, name: str) -> OpenRoute:
    """The way to upstream `name`, which has no evidence: that it is the provider, its certificate alone says."""
    upstream, timeouts = loaded.settings.upstreams[name], loaded.settings.gateway.timeouts
    keys = api_key_of(loaded, name)
    provider, origin = OPEN[upstream.adapter](upstream, keys), origin_of(upstream.url)

    def make() -> UnattestedRoute:
        pool = Pool(origin, None, provider.tls, size=upstream.max_connections, connect_timeout=timeouts.connect)
        route = UnattestedRoute(name, provider, pool, timeouts)
        route.credentials = keys
        return route

    return OpenRoute(name, make)


def endorser_of(loaded: Loaded, policy: str, fetch: HttpFetch, clock: Clock) -> PcsCollateral:
    """Collateral from where the upstreams of `policy` get theirs; from where the configuration says when it has none."""
    collateral = Collateral(loaded, fetch, clock, read_only=True)
    return collateral.tdx(collateral.upstream_of(policy))


@contextlib.asynccontextmanager
async def provider_session(
    loaded: Loaded, name: str, collateral: Collateral | None = None, *, url: str | None = None
) -> AsyncIterator[VerifiedSession]:
    """A session of upstream `name`, or of its machine at `url`, verified now, without a store. Raises: Unverified, ConfigError.

    `collateral` is to share a cache.
    """
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        used = collateral if collateral is not None else await stack.enter_async_context(collateral_of(loaded, clock))
        session = await verifier(loaded, name, used, clock, url)()
        try:
            yield session
        finally:
            session.close()
