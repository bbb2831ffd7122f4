"""Everything that `establish` needs, for one machine of a test."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ollm.config.settings import Timeouts, UpstreamSettings
from ollm.net.clock import SystemClock
from ollm.net.collateral import Asker, CollateralCache, PcsCollateral
from ollm.net.connection import client_tls
from ollm.net.fetch import HttpFetch
from ollm.ports import Clock
from ollm.upstream.aci import AciAdapter
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


@contextlib.asynccontextmanager
async def verifier(
    machine: Machine, *, clock: Clock | None = None, timeouts: Timeouts | None = None, **more: Any
) -> AsyncIterator[Callable[[], Awaitable[VerifiedSession]]]:
    """What a keeper calls: verify `machine` now. Collateral comes from the machine's own service."""
    settings, tls, used, fetch = settings_of(machine, **more), client_tls(), clock or SystemClock(), HttpFetch()
    adapter = AciAdapter(settings, tls, None)
    endorser = PcsCollateral(CollateralCache(used), Asker(fetch, used), pcs_url=machine.pcs_url, root_crl_url=machine.root_crl_url)

    async def verify() -> VerifiedSession:
        return await establish("enclave", settings, machine.policy, adapter, endorser, clock=used, tls=tls, timeouts=timeouts or Timeouts(verify=5))

    try:
        yield verify
    finally:
        await fetch.close()
