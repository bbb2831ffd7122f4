"""Asking a provider for evidence over one connection, and the heads of requests to it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from ollm.errors import UpstreamError
from ollm.net.connection import Connection, Origin, open_connection
from ollm.values.hexes import Hex32, hex32
from ollm.values.secret import Sealed

_TIMEOUT = 10.0  # seconds: for connecting, and for all answers where the provider isn't known to be slower


class Heads:
    """Request heads to one origin. Nothing of the client's own headers goes on: they are a fingerprint."""

    def __init__(
        self,
        url: str,
        api_key: Sealed | None,
        *,
        authorization: str = "authorization: Bearer ",
        more: Mapping[str, str] = {},
        patience: float = _TIMEOUT,
    ) -> None:
        """`authorization` is what stands before the key; `more` are headers of every request; `patience`: seconds for all that is asked at once.

        The key is asked for anew for each head: there may be several.
        """
        self.origin = origin_of(url)
        self.patience = patience
        lines = f"host: {self.origin.authority}\r\nuser-agent: ollm\r\naccept: application/json, text/event-stream\r\n"
        self._lines = (lines + "".join(f"{name}: {value}\r\n" for name, value in more.items())).encode()
        self._authorization = authorization.encode()
        self._key = api_key

    def get(self, target: str, *, credential: bool = False) -> bytes:
        """A GET's head; the key goes along only where the provider demands it for evidence."""
        return f"GET {target} HTTP/1.1\r\n".encode() + self._lines + (self._credential() if credential else b"") + b"\r\n"

    def post(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        """A POST's head, with the key."""
        named = "".join([f"{name}: {value}\r\n" for name, value in extra.items()]) if extra else ""
        own = f"content-type: {content_type}\r\ncontent-length: {length}\r\n{named}\r\n"
        return b"POST %b HTTP/1.1\r\n%b%b%b" % (path.encode(), self._lines, self._credential(), own.encode())

    def _credential(self) -> bytes:
        return self._authorization + self._key.expose() + b"\r\n" if self._key is not None else b""


def origin_of(url: str) -> Origin:
    """The origin that the configured `url` names."""
    split = urlsplit(url)
    return Origin(split.hostname or "", split.port or 443)


class Told(NamedTuple):
    """A good answer."""

    body: bytes
    media_type: str
    headers: dict[bytes, bytes]
    sent: bytes = b""  # the request's body that this answers: in a replay, the one that was recorded


class Asker(Protocol):
    """One connection to a provider, for as long as evidence is asked for on it. Contract: any answer but 200 is an UpstreamError."""

    @property
    def peer_spki(self) -> Hex32 | None: ...  # SHA-256 of the peer's SubjectPublicKeyInfo; None where nobody knows it any more (a replay)

    async def get(self, target: str, *, limit: int, credential: bool = False) -> Told: ...

    # `drawn`: the body is random, so a replay knows no answer to it, and tells what was asked and answered when it was recorded.
    async def post(self, path: str, body: bytes, *, limit: int, extra: Mapping[str, str] = {}, drawn: bool = False) -> Told: ...

    def keep(self) -> Connection | None: ...  # the connection, which then stays open; None in a replay


class Asking(Protocol):
    """Opens an Asker. `asking` is the real one; a recorder and a replayer stand in its place."""

    def __call__(self, heads: Heads, tls: ssl.SSLContext) -> contextlib.AbstractAsyncContextManager[Asker]: ...


class LiveAsker:
    """An Asker over a connection of ours."""

    def __init__(self, heads: Heads, connection: Connection) -> None:
        self._heads = heads
        self._connection = connection
        self.kept = False

    @property
    def peer_spki(self) -> Hex32:
        return hex32(self._connection.peer_spki)

    def peer(self) -> tuple[bytes, str]:
        """The key of the peer (DER) and the version of TLS, for a recording."""
        return self._connection.peer()

    async def get(self, target: str, *, limit: int, credential: bool = False) -> Told:
        """The answer to a GET, at most `limit` bytes. Raises: UpstreamError for any other than 200."""
        return await self._ask(self._heads.get(target, credential=credential), b"", limit)

    async def post(self, path: str, body: bytes, *, limit: int, extra: Mapping[str, str] = {}, drawn: bool = False) -> Told:
        """The answer to a POST of JSON. Raises: UpstreamError for any other than 200."""
        return await self._ask(self._heads.post(path, len(body), "application/json", extra), body, limit)

    async def _ask(self, head: bytes, body: bytes, limit: int) -> Told:
        response = await self._connection.exchange(head, body, headers_timeout=_TIMEOUT)
        if response.status != 200:
            raise UpstreamError("headers", f"the attestation endpoint answered {response.status}", status=response.status)
        told = await response.read_all(limit, _TIMEOUT)
        if not self._connection.finished():
            raise UpstreamError("close", "the provider closed the connection that its evidence is bound to")
        return Told(told, response.headers.get(b"content-type", b"").decode("latin-1"), response.headers, body)

    def keep(self) -> Connection:
        """The connection, which stays open: prompts follow on it."""
        self.kept = True
        return self._connection


@contextlib.asynccontextmanager
async def asking(heads: Heads, tls: ssl.SSLContext) -> AsyncIterator[LiveAsker]:
    """A connection to ask on, closed at the end unless it is kept. Raises: UpstreamError, also when all of it takes too long."""
    connection = await open_connection(heads.origin, tls, timeout=_TIMEOUT, pinned=None)
    asker = LiveAsker(heads, connection)
    try:
        async with asyncio.timeout(heads.patience):  # no pool sweeps this connection yet
            yield asker
    except TimeoutError:
        connection.abort("headers", "timed out")
        raise UpstreamError("headers", "timed out") from None
    except BaseException:
        connection.abort(connection.phase, "evidence not had")
        raise
    if not asker.kept:
        connection.abort("close", "nothing more to ask")
