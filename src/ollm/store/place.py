"""Where the database is: one file, or a PostgreSQL server and how it is reached."""

from pathlib import Path

import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ollm.errors import StoreError
from ollm.values.secret import Sealed

FORMS = "write sqlite:////absolute/path/ollm.db or postgresql://user@host:5432/database"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Server(msgspec.Struct, frozen=True):
    """A database of a PostgreSQL server. A `host` that begins with a slash is the folder of a socket on this machine."""

    host: str
    port: int
    user: str
    database: str
    password: Sealed | None = None
    tls: bool = True  # the server's certificate must be for `host`, under `tls_ca`; not asked for where the connection stays on this machine
    tls_ca: Path | None = None  # PEM; absent: the CAs of this machine
    connections: int = 4  # for all but the ledger's writer and the watch over keys, which have one each

    @property
    def is_local(self) -> bool:
        """Whether what goes there stays on this machine."""
        return self.host.startswith("/") or self.host in _LOOPBACK


Place = Path | Server


def place_of(url: str, *, password: Sealed | None = None, tls: bool = True, tls_ca: Path | None = None, connections: int = 4) -> Place:
    """The place that `url` names: sqlite:////absolute/path, sqlite:///relative/path, postgresql://user@host:5432/database, or
    postgresql://user@/database?host=/folder/of/socket. Raises: StoreError, which never holds the URL: it could have a password in it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("the store's URL is malformed", FORMS) from None
    if parsed.drivername == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError("the store's URL names no file", FORMS)
        return Path(parsed.database).absolute()
    if parsed.drivername != "postgresql":
        raise StoreError(f"no store for {parsed.drivername}", FORMS)
    if parsed.password is not None:
        raise StoreError("the store's URL holds a password", "name where it is in store.password (file: or env:), and take it out of the URL")
    query = dict(parsed.query)
    host = parsed.host or query.pop("host", "")
    if query or not isinstance(host, str) or not host or not parsed.username or not parsed.database:
        raise StoreError("the store's URL names no user, no host or no database, or has options", FORMS)
    server = Server(host, parsed.port or 5432, parsed.username, parsed.database, password, tls, tls_ca, connections)
    if not tls and not server.is_local:
        raise StoreError(f"store.tls is false, and {host} is another machine", "give the server a certificate, and leave store.tls true")
    return server
