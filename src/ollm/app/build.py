"""Composition root: from a configuration to a gateway with everything it needs, and back to nothing."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from ollm.app.collateral import Collateral, collateral_of, trust_root
from ollm.app.identity import gateway_keyset
from ollm.app.installation import data_directory as data_directory
from ollm.app.installation import kept_of as kept_of
from ollm.app.installation import level_of as level_of
from ollm.app.installation import place_of_store as place_of_store
from ollm.app.installation import store_of as store_of
from ollm.app.issuers import issuers_of
from ollm.config.adapters import ADAPTERS
from ollm.config.load import Loaded, key_bytes
from ollm.config.rules_file import check_in_time
from ollm.config.settings import UpstreamSettings
from ollm.errors import ConfigError, UpstreamError, WireError
from ollm.gateway.accounts import Accounts
from ollm.gateway.authenticate import stands
from ollm.gateway.context import Gateway, names_of
from ollm.gateway.tokens import Issuer, Tokens
from ollm.net.clock import SystemClock
from ollm.net.collateral import PcsCollateral
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.dstack import DstackAgent
from ollm.net.fetch import HttpFetch
from ollm.net.pool import Pool
from ollm.net.signer import Ed25519Signer
from ollm.ports import Clock, QuoteSource
from ollm.receipts.report import Provenance
from ollm.serving.attestation import AttestationService
from ollm.store.counters.opening import OpenCounters, open_counters
from ollm.store.reports import Reports
from ollm.store.spending import LedgerSpending
from ollm.store.upkeep import Upkeep
from ollm.traffic.health import Board
from ollm.upstream.asking import Asking, asking, origin_of
from ollm.upstream.credentials import Credentials
from ollm.upstream.fleet import Fleet
from ollm.upstream.keeper import Held, Keeper, OpenRoute
from ollm.upstream.provider import Provider, Tools
from ollm.upstream.registry import MACHINES, OPEN, PROVIDERS
from ollm.upstream.session import UnattestedRoute, VerifiedSession, establish
from ollm.values.policy import AttestationPolicy
from ollm.values.secret import Sealed

log = logging.getLogger("ollm.app")
_MACHINES_AT_ONCE = 2  # of one upstream, verified at the same time


class Assembly:
    """`async with Assembly(loaded) as gateway:` opens the store, makes the keepers and closes all of it again."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._store = store_of(loaded, role="gateway")
        self._fetch = HttpFetch()
        self._collateral: Collateral | None = None
        self._agent: DstackAgent | None = None
        self._gateway: Gateway | None = None
        self._open_accounts: Accounts | None = None
        self._counters: OpenCounters | None = None
        self._watch: asyncio.Task[None] | None = None
        self._upkeep: Upkeep | None = None
        self._issuers: dict[str, Issuer] = {}

    async def __aenter__(self) -> Gateway:
        try:
            return await self._assemble()
        except BaseException:  # nobody calls __aexit__ then
            await self._close()
            raise

    async def _assemble(self) -> Gateway:
        loaded, settings = self._loaded, self._loaded.settings
        await self._store.start()
        newest = await self._store.ledger.recent(1)
        clock = SystemClock(newest_seen=newest[0].started_ms // 1000 if newest else 0)
        check_in_time(settings, clock.now())
        self._upkeep = Upkeep(self._store.engine, kept_of(loaded), clock)
        self._upkeep.start()
        signer = Ed25519Signer(_key(loaded, settings.secrets.receipt_key))
        keyset = gateway_keyset(loaded, signer, data_directory(loaded), clock)
        evidence = settings.evidence
        attestation = AttestationService(
            keyset,
            self._quote_source(),
            serving="aggregator",
            provenance=Provenance(evidence.repo_url, evidence.repo_commit, evidence.image_digest),
            e2ee_versions=(),
            tee_type="tdx",
            extra={"config_digest": loaded.digest},
        )
        collateral = self._collateral = Collateral(loaded, self._fetch, clock, read_only=False)
        self._gateway = Gateway(
            settings=settings,
            config_digest=loaded.digest,
            keyset_digest=keyset.digest(),
            pepper=_key(loaded, settings.secrets.pepper),
            clock=clock,
            signer=signer,
            keys=self._store.keys,
            ledger=self._store.ledger,
            sessions=self._store.sessions,
            attestation=attestation,
            keepers={name: self._keeper(name, collateral, clock) for name in settings.upstreams},
            levels={name: level_of(loaded, name) for name in settings.upstreams},
            speaks={name: ADAPTERS[upstream.adapter].speaks for name, upstream in settings.upstreams.items()},
            started_at=clock.now(),
            accounts=await self._accounts(clock),
            reports=Reports(self._store.engine),
            board=Board(settings.routing.breaker),
            names=names_of(settings.models),
            tokens=self._tokens(clock),
        )
        watching = self._gateway.running.watch(partial(stands, self._gateway))
        self._watch = asyncio.get_running_loop().create_task(watching, name="callers under way")
        return self._gateway

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._gateway is not None:
            for keeper in self._gateway.keepers.values():
                await keeper.close()
        for issuer in self._issuers.values():
            await issuer.keys.close()
        if self._open_accounts is not None:
            await self._open_accounts.close()
        if self._counters is not None:
            await self._counters.close()
        if self._upkeep is not None:
            await self._upkeep.close()
        if self._collateral is not None:
            await self._collateral.close()
        await self._fetch.close()
        if self._agent is not None:
            await self._agent.close()
        await self._store.close()

    def _tokens(self, clock: SystemClock) -> Tokens | None:
        """Who may issue tokens for callers. What is wrong with one of them is logged, and its tokens are refused until it is mended."""
        self._issuers = issuers_of(self._loaded, self._fetch, clock)
        if not self._issuers:
            return None
        keys = self._store.keys
        for issuer in self._issuers.values():
            for project in issuer.settings.places:
                if keys.place(project) is None:
                    log.warning("an issuer's project is not in the store", extra={"issuer": issuer.name, "project": project})
        return Tokens(self._issuers, keys, clock, _key(self._loaded, self._loaded.settings.secrets.pepper))

    async def _accounts(self, clock: SystemClock) -> Accounts:
        counters = self._counters = open_counters(self._loaded, clock)
        owner, lease_seconds = os.urandom(8).hex(), self._loaded.settings.counters.lease_seconds
        await counters.renew(owner)  # a shared store that is new grants nothing for a moment, which begins now
        spending = LedgerSpending(Reports(self._store.engine), self._store.keys.projects_of)
        accounts = Accounts(counters, spending, self._store.ledger, clock, owner=owner, lease_seconds=lease_seconds)
        accounts.start()
        self._open_accounts = accounts
        return accounts

    def _quote_source(self) -> QuoteSource | None:
        source = self._loaded.settings.evidence.quote_source
        if source == "none":
            return None
        kind, _, path = source.partition(":")
        if kind != "dstack" or not path:
            raise ConfigError(f"evidence.quote_source {source!r} is unknown", "use none or dstack:PATH")
        self._agent = DstackAgent(self._loaded.path(path))
        return self._agent

    def _keeper(self, name: str, collateral: Collateral, clock: SystemClock) -> Held:
        if not ADAPTERS[self._loaded.settings.upstreams[name].adapter].evidence:
            return open_route(self._loaded, name)
        upstream = self._loaded.settings.upstreams[name]

        def kept(url: str) -> Keeper:
            return Keeper(name, _in_turn(_verifier(self._loaded, name, collateral, clock, url), turns), clock, self._store.sessions)

        turns = asyncio.Semaphore(_MACHINES_AT_ONCE)
        if upstream.max_machines is None:
            return kept(upstream.url)
        return Fleet(name, upstream.url, MACHINES[upstream.adapter](upstream, collateral.fetch).urls, kept)


def _key(loaded: Loaded, source: str) -> bytes:
    return key_bytes(loaded.secret(source), source)


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


def _verifier(
    loaded: Loaded, name: str, collateral: Collateral, clock: Clock, url: str | None = None
) -> Callable[[], Coroutine[Any, Any, VerifiedSession]]:
    """What verifies upstream `name`, or its machine at `url`, anew at each call. Raises: ConfigError."""
    keys = api_key_of(loaded, name)
    policy, provider, endorser, root = verification(loaded, name, collateral, clock.now(), asking, keys, url=url)
    upstream, timeouts = _at(loaded.settings.upstreams[name], url), loaded.settings.gateway.timeouts

    def verify() -> Coroutine[Any, Any, VerifiedSession]:
        return establish(name, upstream, policy, provider, endorser, clock=clock, trust_root=root, timeouts=timeouts, credentials=keys)

    return verify


def _in_turn(
    verify: Callable[[], Coroutine[Any, Any, VerifiedSession]], turns: asyncio.Semaphore
) -> Callable[[], Coroutine[Any, Any, VerifiedSession]]:
    """`verify`, with no more of them at once than `turns` allows: each takes a good part of a second of a core."""

    async def verified() -> VerifiedSession:
        async with turns:
            return await verify()

    return verified


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
        session = await _verifier(loaded, name, used, clock, url)()
        try:
            yield session
        finally:
            session.close()
