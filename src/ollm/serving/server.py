"""A server for one ASGI application on one address: start, drain, stop."""

import asyncio
import signal
import ssl
from collections.abc import Callable, Sequence

from ollm.errors import ConfigError
from ollm.serving.connection import Connection
from ollm.serving.http import Application, Header
from ollm.serving.limits import Limits
from ollm.serving.shared import Shared
from ollm.serving.tls import TlsIdentity

__all__ = ["Limits", "Server", "TlsIdentity"]

_BACKLOG = 2048
_CANCEL_SECONDS = 5.0  # for applications to end after they were cancelled


def _no_headers() -> Sequence[Header]:
    return ()


class Server:
    """Serves `app` inside the running event loop; uvloop in production, any in tests.

    `headers` gives the headers of every answer that is made below the application (the application adds its own). `shared`: other processes of this
    user listen on the same port. Nothing is logged but the type names of an application's errors; there is no access log, and no `date` or
    `server` header.
    """

    def __init__(
        self,
        app: Application,
        *,
        host: str,
        port: int,
        tls: TlsIdentity | None = None,
        limits: Limits | None = None,
        headers: Callable[[], Sequence[Header]] = _no_headers,
        shared: bool = False,
    ) -> None:
        self._app = app
        self._address = (host, port)
        self._tls = tls
        self._limits = limits or Limits()
        self._headers = headers
        self._shared_port = shared
        self._context: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._shared: Shared | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self.port = port  # the bound one after start()

    async def start(self) -> None:
        """Listen. Raises: ConfigError when the address or the TLS identity can't be used."""
        loop = asyncio.get_running_loop()
        shared = self._shared = Shared(self._app, loop, self._limits, self._headers)
        host, port = self._address
        context = self._context = self._tls.context() if self._tls is not None else None
        handshake, shutdown = (self._limits.header_seconds, self._limits.linger_seconds) if context is not None else (None, None)
        try:
            self._server = await loop.create_server(
                lambda: Connection(shared),
                host,
                port,
                backlog=_BACKLOG,
                reuse_port=self._shared_port or None,
                ssl=context,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=shutdown,
            )
        except OSError as error:
            raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}", "choose a free address of this machine") from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweep()

    def renew(self, tls: TlsIdentity) -> None:
        """Show another certificate on new connections; those that are open keep theirs. Raises: ConfigError, and nothing has changed then."""
        if self._context is None:
            raise ConfigError("this server has no TLS to renew", "start it with a certificate")
        tls.context()  # whether it can be used at all, before anything is touched
        tls.load_into(self._context)

    def _sweep(self) -> None:
        shared = self._shared
        if shared is not None:
            self._sweeper = shared.loop.call_later(self._limits.tick(), self._sweep)
            now = shared.loop.time()
            for connection in list(shared.connections):
                connection.sweep(now)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._shared.connections) if self._shared is not None else 0

    async def drain(self, seconds: float) -> None:
        """Stop accepting, let running requests finish for `seconds`, then cut what is left. Safe to call twice."""
        shared, server = self._shared, self._server
        if shared is None or server is None:
            return
        shared.draining = True
        server.close()
        for connection in list(shared.connections):
            connection.shutdown()
        shared.note_quiet()
        try:
            await asyncio.wait_for(shared.quiet.wait(), seconds)
        except TimeoutError:
            await self._cut(shared)
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._shared = self._server = self._sweeper = None

    async def _cut(self, shared: Shared) -> None:
        tasks = list(shared.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        for connection in list(shared.connections):
            connection.abort()

    async def run(self, drain_seconds: float) -> None:
        """Serve as the main of a process until SIGTERM or SIGINT, then drain; a second signal ends the draining."""
        loop = asyncio.get_running_loop()
        asked, again = asyncio.Event(), asyncio.Event()

        def stop() -> None:
            (again if asked.is_set() else asked).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        await self.start()
        await asked.wait()
        draining = loop.create_task(self.drain(drain_seconds))
        impatient = loop.create_task(again.wait())
        await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if not draining.done():
            await self.drain(0)
        await draining
