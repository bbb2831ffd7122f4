"""What the inside asks of the outside. Contracts (atomicity, errors, concurrency) stand above each Protocol."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ollm.values.ledger import Entry, Intent
from ollm.values.standing import Credential


class Clock(Protocol):
    """Wall time is an input that the host may lie about; monotonic time is for durations only."""

    def now(self) -> int:
        """Unix seconds."""

    def now_ms(self) -> int:
        """Unix milliseconds."""

    def monotonic(self) -> float:
        """Seconds since some start."""


class Fetched(msgspec.Struct, frozen=True):
    """A whole HTTP answer. Header names are lowercase."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# No redirects, capped in size and time, http only to loopback. Raises UpstreamError on any failure but a status.
class Fetch(Protocol):
    async def get(self, url: str) -> Fetched: ...

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched: ...


# `intend` returns once the intent survives kill -9. `complete` returns once the entry (and its receipt) is as durable
# as configured, and removes the intent; calling it twice for one request keeps the first row. Both are called from one
# event loop, concurrently, and batch by themselves. At start, intents without an entry become LOST entries.
class Ledger(Protocol):
    async def intend(self, intent: Intent) -> None: ...

    async def complete(self, entry: Entry) -> None: ...

    async def find(self, request_id: str) -> Entry | None: ...


# `lookup` is synchronous and touches memory only; changes by other processes are seen within one second.
class Keys(Protocol):
    def lookup(self, key_id: str) -> Credential | None: ...


# Sessions are immutable: storing the same id twice is no error and changes nothing.
class Sessions(Protocol):
    async def put(self, session_id: str, upstream: str, expires_at: int, document: bytes) -> None: ...

    async def get(self, session_id: str) -> bytes | None: ...


class Signer(Protocol):
    """A receipt-signing key. `sign` is synchronous: Ed25519 takes some tens of microseconds."""

    @property
    def key_id(self) -> str: ...

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class Quote(msgspec.Struct, frozen=True):
    """What the machine's quoting service answers: dstack's GetQuote and Info, as text in their own encodings."""

    quote: str  # hex
    event_log: str  # JSON array, as a string
    vm_config: str
    app_compose: str  # the exact text whose SHA-256 is measured


# Raises UpstreamError when the service can't be reached or answers nonsense.
class QuoteSource(Protocol):
    async def quote(self, report_data: bytes) -> Quote: ...
