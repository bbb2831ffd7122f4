"""`ollm serve`: the data plane as a process. Ends on SIGTERM or SIGINT once running requests are done."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable

import uvloop

from ollm.app.build import Assembly
from ollm.app.process import harden as harden
from ollm.config.load import Loaded, listen_address
from ollm.gateway.app import App
from ollm.gateway.context import Gateway
from ollm.net import spread
from ollm.serving import last_resort
from ollm.serving.server import Server
from ollm.serving.tls import TlsIdentity

log = logging.getLogger("ollm.serve")
_AT_ONCE = 4  # upstreams verified at the same time at the start: each costs fetches, and a second or so of a core
_APART_SECONDS = 0.2  # many gateways that start together don't ask a provider in the same moment


def _server(loaded: Loaded, gateway: Gateway) -> Server:
    settings = loaded.settings.gateway
    host, port = listen_address(settings.listen)
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsIdentity.from_files(loaded.path(settings.tls_certificate), loaded.path(settings.tls_key))
    app = App(gateway)
    return Server(app, host=host, port=port, tls=tls, headers=app.base_headers)


@contextlib.asynccontextmanager
async def running(loaded: Loaded) -> AsyncIterator[tuple[Gateway, Server]]:
    """A gateway that accepts requests, for as long as the context lasts; then it drains."""
    async with Assembly(loaded) as gateway:
        server = _server(loaded, gateway)
        await server.start()
        turns = asyncio.Semaphore(_AT_ONCE)
        warm = [asyncio.ensure_future(_warm(gateway, name, turns)) for name in gateway.keepers]
        try:
            yield gateway, server
        finally:
            await server.drain(loaded.settings.gateway.drain_seconds)
            for task in warm:
                task.cancel()


async def _warm(gateway: Gateway, name: str, turns: asyncio.Semaphore) -> None:
    """Verify an upstream before the first request asks for it; whether it succeeds shows in /v1/models and /readyz.

    A request that comes before its turn has it verified at once.
    """
    try:
        async with turns:
            await asyncio.sleep(spread.between(0.0, _APART_SECONDS))
            await gateway.keepers[name].session(gateway.settings.gateway.timeouts.verify)
    except Exception as problem:  # noqa: BLE001 - a background start-up step; requests meet the same refusal and report it
        log.warning("upstream not verified at start", extra={"upstream": name, "error": type(problem).__name__})


async def serve(loaded: Loaded, announce: Callable[[Gateway, Server], None]) -> None:
    """Serve until a signal. `announce` is told where, once requests are accepted."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(loaded) as (gateway, server):
        announce(gateway, server)
        await stop.wait()


def calm_collector() -> None:
    """Fewer looks for cycles: the request path makes none, and each look walks everything that the process holds."""
    gc.collect()
    gc.freeze()  # modules and configuration live as long as the process
    gc.set_threshold(50_000, 20, 100)


def run(loaded: Loaded, announce: Callable[[Gateway, Server], None]) -> None:
    """The whole life of the process."""
    harden()
    calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        last_resort.install(runner.get_loop())
        runner.run(serve(loaded, announce))
