"""Connections to one verified machine: made on demand, checked when made, swept for deadlines."""

import asyncio
import collections
import ssl

from ollm.errors import NO_CONNECTION_FREE, SESSION_ENDED, UpstreamError
from ollm.net.connection import Connection, Origin, open_connection

_SWEEP_SECONDS = 0.25
_MAX_IDLE_SECONDS = 20.0  # below the keep-alive of common servers, so that a reused connection is rarely one they just closed


class Pool:
    """At most `size` connections to `origin`, each to one of the keys `pins`; None: `tls` alone judges the peer. Newest idle connection first."""

    def __init__(self, origin: Origin, pins: frozenset[str] | None, tls: ssl.SSLContext, *, size: int, connect_timeout: float) -> None:
        self.origin = origin
        self._pins = pins
        self._tls = tls
        self._size = size
        self._connect_timeout = connect_timeout
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._opening = 0
        self._waiting: collections.deque[asyncio.Future[Connection | None]] = collections.deque()
        self._closed = False
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """Connections with an exchange on them, or being opened for one."""
        return len(self._busy) + self._opening

    def adopt(self, connection: Connection) -> None:
        """Take over a connection that was opened before the pool, when its peer is a pinned one."""
        if (self._pins is None or connection.peer_spki in self._pins) and not connection.closed and not self._closed:
            self._idle.append(connection)
            self._arm()
        else:
            connection.abort("close", "not the pinned peer")

    def take(self) -> Connection | None:
        """A free connection that is open already; None where `acquire` would have to wait."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                self._busy.add(connection)
                return connection
        return None

    async def acquire(self) -> Connection:
        """A free connection, within the time that connecting may take; who waits for one gets it in turn. Raises: ChannelRefused, UpstreamError."""
        if self._closed:
            raise UpstreamError("connect", SESSION_ENDED)
        if (free := self.take()) is not None:
            return free
        if len(self._busy) + self._opening < self._size:
            self._opening += 1
            return await self._open()
        given = await self._turn()
        if given is None:
            return await self._open()
        if given.closed:  # on its way to here
            self._busy.discard(given)
            self._opening += 1
            return await self._open()
        return given

    async def _turn(self) -> Connection | None:
        """What the next in line is given: a connection that is counted as busy, or None, a place that is counted as being opened."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._connect_timeout):
                given = await waiter
        except (TimeoutError, asyncio.CancelledError) as end:
            if waiter.done() and not waiter.cancelled():
                self._decline(waiter.result())
            if isinstance(end, TimeoutError):
                raise UpstreamError("connect", NO_CONNECTION_FREE) from None
            raise
        if self._closed:
            self._decline(given)
            raise UpstreamError("connect", SESSION_ENDED)
        return given

    async def _open(self) -> Connection:
        """A new connection in a place that is counted already."""
        try:
            connection = await open_connection(self.origin, self._tls, timeout=self._connect_timeout, pinned=self._pins)
        except BaseException:
            self._decline(None)
            raise
        self._opening -= 1
        self._busy.add(connection)
        self._arm()
        return connection

    def release(self, connection: Connection) -> None:
        """Give a connection back after its exchange, whatever became of it."""
        if connection.finished() and not self._closed:
            self._decline(connection)
            return
        self._busy.discard(connection)
        if not connection.closed:
            connection.abort("close", "pool is closed")
        self._opening += 1
        self._decline(None)

    def _decline(self, given: Connection | None) -> None:
        """Pass a connection or a place on to the next in line: who comes later, and would find it free, must not get it first."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(given)
                return
        if given is None:
            self._opening -= 1
            return
        self._busy.discard(given)
        if self._closed:
            given.abort("close", "pool is closed")
        else:
            self._idle.append(given)

    def beside(self, origin: Origin) -> "Pool":
        """Connections to another origin of the same provider, one at a time. Raises: UpstreamError where keys are pinned: nobody attested its own."""
        if self._pins is not None:
            raise UpstreamError("connect", "this machine's evidence speaks for no other host")
        return Pool(origin, None, self._tls, size=1, connect_timeout=self._connect_timeout)

    def close(self) -> None:
        """Close idle connections; running exchanges finish."""
        self._closed = True
        for connection in self._idle:
            connection.abort("close", "pool is closed")
        self._idle.clear()
        while self._waiting:
            self._opening += 1
            self._decline(None)

    def _arm(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        # One timer for all connections: a timer for each phase of each request would cost more than the request's crypto.
        self._sweeper = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._busy):
            if connection.deadline is not None and now > connection.deadline:
                connection.abort("total" if now > connection.ends else connection.phase, "timed out")
        fresh = []
        for connection in self._idle:
            if now - connection.idle_since > _MAX_IDLE_SECONDS:
                connection.abort("close", "idle")
            elif not connection.closed:
                fresh.append(connection)
        self._idle = fresh
        if self._busy or self._idle:
            self._arm()
