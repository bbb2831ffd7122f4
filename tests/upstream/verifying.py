"""Everything that `establish` needs, for one machine of a test."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ollm.config.settings import CollateralSettings, Timeouts, UpstreamSettings
from ollm.net.clock import SystemClock
from ollm.net.collateral import Asker, CollateralCache
from ollm.net.collateral.endorser import MachineEndorser
from ollm.net.fetch import HttpFetch
from ollm.ports import Clock, Fetch
from ollm.upstream.aci import AciProvider
from ollm.upstream.asking import asking
from ollm.upstream.provider import Provider, Tools
from ollm.upstream.session import VerifiedSession, establish
from tests.stage import Machine

CHAT = "/v1/chat/completions"


class MovableClock:
    """The machine's clock, moved ahead by hand."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead = 0.0

    def now(self) -> int:
        return self._clock.now() + int(self.ahead)

    def now_ms(self) -> int:
        return self._clock.now_ms() + int(self.ahead * 1000)

    def monotonic(self) -> float:
        return self._clock.monotonic() + self.ahead


def settings_of(machine: Machine, **more: Any) -> UpstreamSettings:
    return UpstreamSettings(url=machine.url, policy="p", pcs_url=machine.pcs_url, root_crl_url=machine.root_crl_url, **more)


def tools(fetch: Fetch) -> Tools:
    """A provider's way into the world, with nothing in between."""
    return Tools(asking, fetch, "", None)


@contextlib.asynccontextmanager
async def verifier(
    machine: Machine,
    *,
    clock: Clock | None = None,
    timeouts: Timeouts | None = None,
    changed: Callable[[Provider], Provider] = lambda provider: provider,
    **more: Any,
) -> AsyncIterator[Callable[[], Awaitable[VerifiedSession]]]:
    """What a keeper calls: verify `machine` now. Collateral comes from the machine's own service; `changed` may put itself before the provider."""
    settings, used, fetch = settings_of(machine, **more), clock or SystemClock(), HttpFetch()
    provider = changed(AciProvider(settings, None, tools(fetch)))
    sources = CollateralSettings(pcs_url=machine.pcs_url, root_crl_url=machine.root_crl_url)
    endorser = MachineEndorser(CollateralCache(used), Asker(fetch, used), sources)
    given = timeouts or Timeouts(verify=5)

    async def verify() -> VerifiedSession:
        return await establish("enclave", settings, machine.policy, provider, endorser, clock=used, trust_root=None, timeouts=given)

    try:
        yield verify
    finally:
        await fetch.close()
