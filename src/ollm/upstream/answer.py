"""A sealed request on its way out, and a provider's answer on its way back, opened piece by piece."""

import hashlib
import math

from ollm.net.connection import Connection, Response
from ollm.net.pool import Pool
from ollm.seal.cipher import AnswerOpener
from ollm.values.hexes import Sha256

_MAX_ANSWER = 64 * 1024 * 1024
_JSON = b"application/json"


class SealedRequest:
    """A request that only the machine of a session can read; made by the session's `seal`."""

    __slots__ = ("body", "cipher", "head", "key", "opener", "streamed")

    def __init__(self, head: bytes, body: bytes, opener: AnswerOpener | None, cipher: str | None, *, key: int = 0, streamed: bool = False) -> None:
        self.head = head
        self.body = body
        self.opener = opener
        self.cipher = cipher  # its name, for the receipt; None: the channel alone protects the body
        self.key = key  # number of the credential in its head
        self.streamed = streamed  # what the client asked for

    @property
    def sealed(self) -> bool:
        return self.opener is not None

    def __repr__(self) -> str:
        return "<sealed request>"


class Answer:
    """A provider's answer. Call `close` when done, whatever happened. `opener` None: it is in the clear."""

    __slots__ = (
        "_idle", "_open", "_opener", "_pool", "_response", "_wire", "compressed", "connection", "key", "key_refused", "media_type",
        "sent_hash", "status", "streamed",
    )  # fmt: skip

    def __init__(self, pool: Pool, connection: Connection, response: Response, opener: AnswerOpener | None, *, idle: float, hashed: bool) -> None:
        """`idle`: seconds between two reads. `hashed`: the machine signs what it sent, so its bytes are digested as they come."""
        self._pool = pool
        self.connection = connection
        self._response = response
        self._opener = opener
        self._idle = idle
        self._open = True
        self._wire = hashlib.sha256() if hashed else None
        self.sent_hash: Sha256 | None = None  # of the request's body as it was sent, where the machine signs
        self.key = 0  # number of the credential that the request had
        self.key_refused = False  # the machine says that it does not hold the key we sealed to
        self.status = response.status
        headers = response.headers
        kind = headers.get(b"content-type", b"")
        self.media_type = kind if kind == _JSON else kind.partition(b";")[0].strip().lower()
        self.streamed = self.media_type == b"text/event-stream"
        self.compressed = b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity"

    async def read(self) -> bytes:
        """Next plaintext, b"" at the end. Raises: UpstreamError for a cut answer, SealError for one that can't be opened."""
        while (data := await self.next(math.inf)) is None:
            pass
        return data

    async def next(self, patience: float) -> bytes | None:
        """As `read`; None when nothing came within `patience` seconds. Nothing is lost by that: the next call goes on where this one ended."""
        while data := await self._response.next(self._idle, patience):
            if self._wire is not None:
                self._wire.update(data)
            if self._opener is None:
                return data
            plain = self._opener.feed(data)
            if plain:
                return plain
        if data is None:
            return None
        if self._opener is not None:
            self._opener.finish()
        return b""

    @property
    def retry_after(self) -> str:
        """What the header `retry-after` says; "" where there is none."""
        return self._response.headers.get(b"retry-after", b"")[:40].decode("latin-1")

    @property
    def retry_after_ms(self) -> str:
        """What the header `retry-after-ms` says; "" where there is none."""
        return self._response.headers.get(b"retry-after-ms", b"")[:16].decode("latin-1")

    def began(self) -> None:
        """Content came: from here on only silence and the whole of it have a time-out."""
        self.connection.began()

    async def read_all(self) -> bytes:
        """The whole plaintext. Raises: as `read`."""
        data = await self._response.read_all(_MAX_ANSWER, self._idle)
        if self._wire is not None:
            self._wire.update(data)
        return data if self._opener is None else self._opener.whole(data)

    @property
    def signed(self) -> bool:
        """Whether the machine that answers signs what it sends."""
        return self._wire is not None

    @property
    def wire_hash(self) -> Sha256 | None:
        """Digest of the bytes that came so far; None where nobody signs them."""
        return None if self._wire is None else Sha256("sha256:" + self._wire.hexdigest())

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, cut it otherwise."""
        if self._open:
            self._open = False
            self._pool.release(self.connection)
