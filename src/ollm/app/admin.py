"""`ollm admin`: the control plane as a process. It shares the store with the data plane, and imports nothing of it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import uvloop

from ollm.admin.app import App
from ollm.admin.context import Admin
from ollm.app.installation import level_of, store_of
from ollm.app.process import harden
from ollm.app.reports import StoreReports
from ollm.config.load import Loaded, key_bytes, listen_address
from ollm.net.clock import SystemClock
from ollm.serving import last_resort
from ollm.serving.server import Server
from ollm.serving.tls import TlsIdentity

_DRAIN_SECONDS = 5.0  # its requests take milliseconds; exports are begun again


@contextlib.asynccontextmanager
async def administered(loaded: Loaded) -> AsyncIterator[Admin]:
    """The control plane's context over an open store."""
    source = loaded.settings.secrets.pepper
    async with store_of(loaded, role="admin") as store:
        yield Admin(
            settings=loaded.settings,
            config_digest=loaded.digest,
            store=store,
            reports=StoreReports(store.reports),
            pepper=key_bytes(loaded.secret(source), source),
            clock=SystemClock(),
            levels={name: level_of(loaded, name) for name in loaded.settings.upstreams},
        )


@contextlib.asynccontextmanager
async def running(loaded: Loaded) -> AsyncIterator[Server]:
    """A control plane that accepts requests, for as long as the context lasts."""
    settings = loaded.settings.admin
    host, port = listen_address(settings.listen, "admin.listen")
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsIdentity.from_files(loaded.path(settings.tls_certificate), loaded.path(settings.tls_key))
    async with administered(loaded) as admin:
        server = Server(App(admin), host=host, port=port, tls=tls)
        await server.start()
        try:
            yield server
        finally:
            await server.drain(_DRAIN_SECONDS)


async def serve(loaded: Loaded, announce: Callable[[Server], None]) -> None:
    """Serve until a signal. `announce` is told where, once requests are accepted."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(loaded) as server:
        announce(server)
        await stop.wait()


def run(loaded: Loaded, announce: Callable[[Server], None]) -> None:
    """The whole life of the process."""
    harden()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        last_resort.install(runner.get_loop())
        runner.run(serve(loaded, announce))
