"""`ollm serve`: the data plane as a process. Ends on SIGTERM or SIGINT once running requests are done; reads its configuration again on SIGHUP."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec
import uvloop

from ollm.app.assembly import Assembly
from ollm.app.process import harden as harden
from ollm.config.load import Loaded, listen_address
from ollm.errors import ConfigError, OllmError
from ollm.gateway.app import App
from ollm.gateway.context import Gateway
from ollm.net import spread
from ollm.serving import last_resort
from ollm.serving.server import Server
from ollm.serving.tls import TlsIdentity

log = logging.getLogger("ollm.serve")
_AT_ONCE = 4  # upstreams verified at the same time at the start: each costs fetches, and a second or so of a core
_APART_SECONDS = 0.2  # many gateways that start together don't ask a provider in the same moment


class Place(msgspec.Struct, frozen=True):
    """Where a process stands among the workers of one gateway. Alone it is the first, and has its port for itself."""

    slot: int = 0
    port: int | None = None  # that all workers listen on; None: the configured one, alone


ALONE = Place()


class Live:
    """A gateway that accepts requests, and can be given another configuration while it does."""

    def __init__(self, assembly: Assembly, app: App, server: Server) -> None:
        self._assembly = assembly
        self._app = app
        self.server = server
        self._turn = asyncio.Lock()
        self._warming: set[asyncio.Task[None]] = set()

    @property
    def gateway(self) -> Gateway:
        """The one that serves requests that come now."""
        return self._assembly.gateway

    async def reload(self, loaded: Loaded) -> tuple[str, ...]:
        """Serve by `loaded` from now on; requests under way end as they began. Returns the upstreams that have to be verified anew.

        Raises: ConfigError, StoreError, and nothing has changed then.
        """
        async with self._turn:
            tls = _tls_of(loaded)
            if tls is not None:
                tls.context()  # whether it can be used is known before anything changes
            places = self._app.swap(await self._assembly.reload(loaded))
            if tls is not None:
                self.server.renew(tls)
            self._assembly.retire(places.emptied)
            self.warm(self._assembly.new)
            return self._assembly.new

    def warm(self, names: Iterable[str]) -> None:
        """Verify these upstreams before a request asks for them."""
        turns = asyncio.Semaphore(_AT_ONCE)
        for name in names:
            task = asyncio.get_running_loop().create_task(_warm(self.gateway, name, turns), name=f"first look at {name}")
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)

    def stop_warming(self) -> None:
        for task in self._warming:
            task.cancel()


def _tls_of(loaded: Loaded) -> TlsIdentity | None:
    settings = loaded.settings.gateway
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsIdentity.from_files(loaded.path(settings.tls_certificate), loaded.path(settings.tls_key))


@contextlib.asynccontextmanager
async def living(loaded: Loaded, place: Place = ALONE) -> AsyncIterator[Live]:
    """A gateway that accepts requests, for as long as the context lasts; then it drains."""
    host, port = listen_address(loaded.settings.gateway.listen)
    assembly = Assembly(loaded, slot=place.slot)
    async with assembly as gateway:
        app = App(gateway)
        shared = place.port is not None
        server = Server(app, host=host, port=place.port or port, tls=_tls_of(loaded), headers=app.base_headers, shared=shared)
        await server.start()
        live = Live(assembly, app, server)
        live.warm(gateway.keepers)
        try:
            yield live
        finally:
            await server.drain(live.gateway.settings.gateway.drain_seconds)
            live.stop_warming()


@contextlib.asynccontextmanager
async def running(loaded: Loaded) -> AsyncIterator[tuple[Gateway, Server]]:
    """The same, for those that never give it another configuration."""
    async with living(loaded) as live:
        yield live.gateway, live.server


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


async def serve(
    loaded: Loaded, announce: Callable[[Gateway, Server], None], reread: Callable[[], Loaded] | None = None, place: Place = ALONE
) -> None:
    """Serve until a signal. `announce` is told where, once requests are accepted; `reread` reads the configuration again on SIGHUP."""
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if reread is not None:
        loop.add_signal_handler(signal.SIGHUP, again.set)
    async with living(loaded, place) as live:
        reloading = loop.create_task(_reload_often(live, reread, again), name="reload") if reread is not None else None
        announce(live.gateway, live.server)
        await stop.wait()
        if reloading is not None:
            reloading.cancel()


async def _reload_often(live: Live, reread: Callable[[], Loaded], again: asyncio.Event) -> None:
    """Reload each time that `again` is set; what is wrong with a new configuration is logged, and the old one goes on."""
    while True:
        await again.wait()
        again.clear()
        try:
            new = await live.reload(await asyncio.to_thread(reread))
        except ConfigError as problem:
            log.error("the configuration was not reloaded", extra={"cause": problem.cause, "mend": problem.mend})
        except OllmError as problem:
            log.error("the configuration was not reloaded", extra={"error": type(problem).__name__})
        else:
            log.warning("the configuration was reloaded", extra={"config_digest": live.gateway.config_digest, "verifying": ",".join(new) or "none"})


def calm_collector() -> None:
    """Fewer looks for cycles: the request path makes none, and each look walks everything that the process holds."""
    gc.collect()
    gc.freeze()  # modules and configuration live as long as the process
    gc.set_threshold(50_000, 20, 100)


def run(loaded: Loaded, announce: Callable[[Gateway, Server], None], reread: Callable[[], Loaded] | None = None, place: Place = ALONE) -> None:
    """The whole life of the process."""
    harden()
    calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        last_resort.install(runner.get_loop())
        runner.run(serve(loaded, announce, reread, place))
