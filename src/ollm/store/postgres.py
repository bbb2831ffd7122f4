"""The PostgreSQL database: as SQLAlchemy sees it, for everything that isn't hot, and single connections for what is."""

import asyncio
import os
import socket
from contextlib import suppress

import psycopg
from sqlalchemy import Engine, create_engine

from ollm.errors import StoreError
from ollm.store.place import Server

CONNECT_SECONDS = 5
STATEMENT_MS = 60_000  # off the hot path: a report over a year, a partition
SILENCE_MS = 10_000  # bytes that the other side doesn't acknowledge for so long end a connection

Row = tuple[object, ...]
Connection = psycopg.AsyncConnection[Row]


def conninfo(server: Server, **options: int | str) -> str:
    """What libpq takes. It holds the password: it never goes into a text that anybody reads."""
    parts: dict[str, int | str] = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "dbname": server.database,
        "application_name": "ollm",
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SILENCE_MS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "client_encoding": "UTF8",
        **_tls(server),
        **options,
    }
    if server.password is not None:
        parts["password"] = server.password.expose().decode()
    return psycopg.conninfo.make_conninfo("", **parts)


def _tls(server: Server) -> dict[str, str]:
    if server.is_local and (server.host.startswith("/") or not server.tls or server.tls_ca is None):
        return {"sslmode": "disable"}
    # PostgreSQL's own default would go on without TLS, and believe any certificate.
    return {"sslmode": "verify-full", "sslrootcert": "system" if server.tls_ca is None else str(server.tls_ca), "ssl_min_protocol_version": "TLSv1.2"}


def connect_server(server: Server) -> Engine:
    """An engine with a small pool; a connection that the server has closed is noticed before it is used."""
    info = conninfo(server, options=f"-c statement_timeout={STATEMENT_MS} -c idle_in_transaction_session_timeout={STATEMENT_MS}")
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(info),
        pool_size=server.connections,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
    )


async def connect_alone(server: Server, **settings: str) -> Connection:
    """A connection of one's own, each statement a transaction. Raises: psycopg.Error."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return await psycopg.AsyncConnection.connect(conninfo(server, options=options), autocommit=True, prepare_threshold=0)


def cut(connection: Connection) -> None:
    """End a connection whose server doesn't answer: who waits for it hears of it at once. Cancelling would wait for the server."""
    with suppress(OSError, psycopg.Error):
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        finally:
            duplicate.close()


class GenerationWatch:
    """Reads the counter of changes of keys, on a connection of its own, which is made again when it is lost."""

    misses = 60  # half a minute: servers restart and fail over, and entries of the ledger wait as long

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Connection | None = None

    async def generation(self, seconds: float) -> int:
        """The counter now. Raises: StoreError when it can't be read within `seconds`."""
        timer: asyncio.TimerHandle | None = None
        try:
            async with asyncio.timeout(seconds):
                connection = self._connection = self._connection or await connect_alone(self._server)
            timer = asyncio.get_running_loop().call_later(seconds, cut, connection)
            row = await (await connection.execute("SELECT key_generation FROM installation")).fetchone()
        except (psycopg.Error, TimeoutError, UnicodeError):
            await self.close()
            raise StoreError("reading the counter of changes failed") from None
        finally:
            if timer is not None:
                timer.cancel()
        if row is None:
            raise StoreError("reading the counter of changes failed")
        return int(str(row[0]))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
