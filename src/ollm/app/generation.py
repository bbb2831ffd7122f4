"""What belongs to one configuration: the gateway that serves it, the keepers of its upstreams, the keys of its issuers.

A process has one, until its configuration is read again. The next one takes over what says the same: a keeper with its verified sessions, the
keys of an issuer. The rest is made anew, and what the last one had alone is closed once its requests are done.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ollm.app.build import api_key_of, open_route, verifier
from ollm.app.collateral import Collateral
from ollm.app.identity import gateway_keyset
from ollm.app.installation import data_directory, level_of
from ollm.app.issuers import issuers_of
from ollm.config.adapters import ADAPTERS
from ollm.config.load import Loaded
from ollm.config.rules_file import check_in_time
from ollm.config.settings import CollateralSettings, Timeouts, UpstreamSettings
from ollm.gateway.accounts import Accounts
from ollm.gateway.context import Gateway, names_of
from ollm.gateway.running import Running
from ollm.gateway.tokens import Issuer, Tokens
from ollm.net.clock import SystemClock
from ollm.net.fetch import HttpFetch
from ollm.ports import QuoteSource, Signer
from ollm.receipts.report import Provenance
from ollm.serving.attestation import AttestationService
from ollm.store.sqlite import Store
from ollm.traffic.health import Board
from ollm.upstream.fleet import Fleet
from ollm.upstream.keeper import Held, Keeper
from ollm.upstream.registry import MACHINES
from ollm.upstream.session import VerifiedSession
from ollm.values.policy import AttestationPolicy
from ollm.values.secret import Hidden

log = logging.getLogger("ollm.app")
_MACHINES_AT_ONCE = 2  # of one upstream, verified at the same time


class Parts(Hidden, frozen=True):
    """What a process has as long as it lives, whatever its configuration becomes."""

    store: Store
    fetch: HttpFetch
    clock: SystemClock
    signer: Signer
    pepper: bytes
    accounts: Accounts
    quotes: QuoteSource | None
    running: Running


class Made(Hidden, frozen=True):
    """All that a keeper was made of: while it is the same, its sessions say the same."""

    upstream: UpstreamSettings
    policy: AttestationPolicy | None
    timeouts: Timeouts
    collateral: CollateralSettings
    credentials: tuple[bytes, ...]


class Generation(msgspec.Struct, frozen=True):
    """One configuration at work. `new` names the upstreams whose keepers it made itself."""

    loaded: Loaded
    gateway: Gateway
    made: dict[str, Made]
    issuers: dict[str, Issuer]
    collateral: Collateral
    new: tuple[str, ...]


async def generate(loaded: Loaded, parts: Parts, before: Generation | None = None) -> Generation:
    """The generation of `loaded`, with what `before` had that says the same. Raises: ConfigError, and nothing of `before` has changed then."""
    settings, clock = loaded.settings, parts.clock
    check_in_time(settings, clock.now())
    made = {name: _made(loaded, name) for name in settings.upstreams}
    kept = {name: before.gateway.keepers[name] for name, each in made.items() if before.made.get(name) == each} if before is not None else {}
    collateral = _collateral(loaded, parts, before)
    keepers: dict[str, Held] = dict(kept)
    try:
        for name in settings.upstreams:
            if name not in kept:
                keepers[name] = keeper_of(loaded, name, collateral, parts)
        issuers = issuers_of(loaded, parts.fetch, clock, before.issuers if before is not None else {})
        gateway = _gateway(loaded, parts, {name: keepers[name] for name in settings.upstreams}, issuers, before)
    except BaseException:
        for name, keeper in keepers.items():
            if name not in kept:
                await keeper.close()
        if before is None or collateral.cache is not before.collateral.cache:
            await collateral.close()
        raise
    return Generation(loaded, gateway, made, issuers, collateral, tuple(name for name in settings.upstreams if name not in kept))


async def close(generation: Generation, after: Generation | None = None) -> None:
    """Close what `after`, the next one, didn't take over."""
    held = set(map(id, after.gateway.keepers.values())) if after is not None else set()
    for keeper in generation.gateway.keepers.values():
        if id(keeper) not in held:
            await keeper.close()
    used = {id(issuer.keys) for issuer in after.issuers.values()} if after is not None else set()
    for issuer in generation.issuers.values():
        if id(issuer.keys) not in used:
            await issuer.keys.close()
    if after is None or generation.collateral.cache is not after.collateral.cache:
        await generation.collateral.close()


def _made(loaded: Loaded, name: str) -> Made:
    settings = loaded.settings
    upstream = settings.upstreams[name]
    policy = None if upstream.policy is None else settings.policies[upstream.policy]
    credentials = tuple(loaded.secret(source).expose() for source in upstream.key_sources)
    return Made(upstream, policy, settings.gateway.timeouts, settings.collateral, credentials)


def _collateral(loaded: Loaded, parts: Parts, before: Generation | None) -> Collateral:
    if before is not None and before.loaded.settings.collateral == loaded.settings.collateral:
        return before.collateral.under(loaded)
    return Collateral(loaded, parts.fetch, parts.clock, read_only=False)


def _gateway(loaded: Loaded, parts: Parts, keepers: dict[str, Held], issuers: dict[str, Issuer], before: Generation | None) -> Gateway:
    settings, clock, store = loaded.settings, parts.clock, parts.store
    keyset = gateway_keyset(loaded, parts.signer, data_directory(loaded), clock)
    evidence = settings.evidence
    attestation = AttestationService(
        keyset,
        parts.quotes,
        serving="aggregator",
        provenance=Provenance(evidence.repo_url, evidence.repo_commit, evidence.image_digest),
        e2ee_versions=(),
        tee_type="tdx",
        extra={"config_digest": loaded.digest},
    )
    same_breaker = before is not None and before.loaded.settings.routing.breaker == settings.routing.breaker
    return Gateway(
        settings=settings,
        config_digest=loaded.digest,
        keyset_digest=keyset.digest(),
        pepper=parts.pepper,
        clock=clock,
        signer=parts.signer,
        keys=store.keys,
        ledger=store.ledger,
        sessions=store.sessions,
        attestation=attestation,
        keepers=keepers,
        levels={name: level_of(loaded, name) for name in settings.upstreams},
        speaks={name: ADAPTERS[upstream.adapter].speaks for name, upstream in settings.upstreams.items()},
        started_at=clock.now() if before is None else before.gateway.started_at,
        accounts=parts.accounts,
        reports=store.reports,
        board=before.gateway.board if before is not None and same_breaker else Board(settings.routing.breaker),
        names=names_of(settings.models),
        running=parts.running,
        tokens=_tokens(parts, issuers),
    )


def _tokens(parts: Parts, issuers: dict[str, Issuer]) -> Tokens | None:
    """Who may issue tokens for callers. One whose project isn't there is no reason not to serve: it may be made while we run."""
    if not issuers:
        return None
    for issuer in issuers.values():
        for project in issuer.settings.places:
            if parts.store.keys.place(project) is None:
                log.warning("an issuer's project is not in the store", extra={"issuer": issuer.name, "project": project})
    return Tokens(issuers, parts.store.keys, parts.clock, parts.pepper)


def keeper_of(loaded: Loaded, name: str, collateral: Collateral, parts: Parts) -> Held:
    """Who holds the sessions of upstream `name`. Raises: ConfigError."""
    upstream = loaded.settings.upstreams[name]
    if not ADAPTERS[upstream.adapter].evidence:
        return open_route(loaded, name)
    api_key_of(loaded, name)  # what can't be read is told now, and not by the machine that is found later
    turns = asyncio.Semaphore(_MACHINES_AT_ONCE)

    def kept(url: str) -> Keeper:
        return Keeper(name, _in_turn(verifier(loaded, name, collateral, parts.clock, url), turns), parts.clock, parts.store.sessions)

    if upstream.max_machines is None:
        return kept(upstream.url)
    return Fleet(name, upstream.url, MACHINES[upstream.adapter](upstream, collateral.fetch).urls, kept)


def _in_turn(
    verify: Callable[[], Coroutine[Any, Any, VerifiedSession]], turns: asyncio.Semaphore
) -> Callable[[], Coroutine[Any, Any, VerifiedSession]]:
    """`verify`, with no more of them at once than `turns` allows: each takes a good part of a second of a core."""

    async def verified() -> VerifiedSession:
        async with turns:
            return await verify()

    return verified
