"""The parts of one process put together: from a configuration to a gateway with everything it needs, through reloads, and back to nothing."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from types import TracebackType

from ollm.app.fixed import check_unchanged
from ollm.app.generation import Generation, Parts, close, generate
from ollm.app.installation import kept_of, store_of
from ollm.config.load import Loaded, key_bytes
from ollm.errors import ConfigError
from ollm.gateway.accounts import Accounts
from ollm.gateway.authenticate import stands
from ollm.gateway.caller import Caller
from ollm.gateway.context import Gateway
from ollm.gateway.running import Running
from ollm.net.clock import SystemClock
from ollm.net.dstack import DstackAgent
from ollm.net.fetch import HttpFetch
from ollm.net.signer import Ed25519Signer
from ollm.ports import QuoteSource
from ollm.store.counters.opening import OpenCounters, open_counters
from ollm.store.spending import LedgerSpending
from ollm.store.upkeep import Upkeep

Drained = Callable[[], Awaitable[None]]


class Assembly:
    """`async with Assembly(loaded) as gateway:` opens the store, makes the keepers and closes all of it again.

    Of several processes on one machine each has a `slot`.
    """

    def __init__(self, loaded: Loaded, *, slot: int = 0) -> None:
        self._loaded = loaded
        self._store = store_of(loaded, role="gateway", slot=slot)
        self._fetch = HttpFetch()
        self._agent: DstackAgent | None = None
        self._accounts: Accounts | None = None
        self._counters: OpenCounters | None = None
        self._upkeep: Upkeep | None = None
        self._watch: asyncio.Task[None] | None = None
        self._parts: Parts | None = None
        self._generations: list[Generation] = []  # the last one serves; those before it are on their way out
        self._retiring: list[asyncio.Task[None]] = []  # each waits for the one before it

    async def __aenter__(self) -> Gateway:
        try:
            self._parts = await self._assembled()
            self._generations.append(await generate(self._loaded, self._parts))
        except BaseException:  # nobody calls __aexit__ then
            await self._close()
            raise
        self._watch = asyncio.get_running_loop().create_task(self._parts.running.watch(self._stands), name="callers under way")
        return self.gateway

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    @property
    def gateway(self) -> Gateway:
        """The one that serves now."""
        return self._generations[-1].gateway

    @property
    def new(self) -> tuple[str, ...]:
        """Upstreams that the last reload (or the start) has to verify."""
        return self._generations[-1].new

    async def reload(self, loaded: Loaded) -> Gateway:
        """A gateway of `loaded`, which serves from now on for what asks for `gateway`; the caller hands requests to it, then calls `retire`.

        Raises: ConfigError, and nothing has changed then.
        """
        if self._parts is None:
            raise ConfigError("the gateway is not assembled", "start it first")
        check_unchanged(self._generations[-1].loaded, loaded)
        self._generations.append(await generate(loaded, self._parts, self._generations[-1]))
        return self.gateway

    def retire(self, drained: Drained) -> None:
        """Close what the last generation but one had alone, once `drained` says that its requests, and those of the ones before, are done."""
        old, new = self._generations[-2:]
        self._retiring = [task for task in self._retiring if not task.done()]
        work = self._retired(old, new, drained, list(self._retiring))
        self._retiring.append(asyncio.get_running_loop().create_task(work, name="old configuration"))

    async def _retired(self, old: Generation, new: Generation, drained: Drained, before: "list[asyncio.Task[None]]") -> None:
        if before:
            await asyncio.wait(before)
        await drained()
        await close(old, new)
        self._generations.remove(old)

    def _stands(self, caller: Caller) -> bool:
        return stands(self.gateway, caller)

    async def _assembled(self) -> Parts:
        loaded, settings = self._loaded, self._loaded.settings
        await self._store.start()
        newest = await self._store.ledger.recent(1)
        clock = SystemClock(newest_seen=newest[0].started_ms // 1000 if newest else 0)
        self._upkeep = Upkeep(self._store.engine, kept_of(loaded), clock)
        self._upkeep.start()
        return Parts(
            store=self._store,
            fetch=self._fetch,
            clock=clock,
            signer=Ed25519Signer(_key(loaded, settings.secrets.receipt_key)),
            pepper=_key(loaded, settings.secrets.pepper),
            accounts=await self._opened(clock),
            quotes=self._quote_source(),
            running=Running(),
        )

    async def _opened(self, clock: SystemClock) -> Accounts:
        counters = self._counters = open_counters(self._loaded, clock)
        owner, lease_seconds = os.urandom(8).hex(), self._loaded.settings.counters.lease_seconds
        await counters.renew(owner)  # a shared store that is new grants nothing for a moment, which begins now
        spending = LedgerSpending(self._store.reports, self._store.keys.projects_of)
        accounts = self._accounts = Accounts(counters, spending, self._store.ledger, clock, owner=owner, lease_seconds=lease_seconds)
        accounts.start()
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

    async def _close(self) -> None:
        tasks = [*self._retiring, *([self._watch] if self._watch is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        while self._generations:
            oldest = self._generations.pop(0)
            await close(oldest, self._generations[0] if self._generations else None)
        if self._accounts is not None:
            await self._accounts.close()
        if self._counters is not None:
            await self._counters.close()
        if self._upkeep is not None:
            await self._upkeep.close()
        await self._fetch.close()
        if self._agent is not None:
            await self._agent.close()
        await self._store.close()


def _key(loaded: Loaded, source: str) -> bytes:
    return key_bytes(loaded.secret(source), source)
