"""What the inside asks of the outside. Contracts (atomicity, errors, concurrency) stand above each Protocol."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ollm.traffic.charges import Charges
from ollm.values.ledger import Entry, Intent
from ollm.values.standing import Credential, Place


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


# `lookup` is synchronous and touches memory only; changes by other processes are seen within one second. While it is `blind`, nothing could be
# read for some seconds: nobody is found then, which says nothing of who was found before.
class Keys(Protocol):
    @property
    def blind(self) -> bool: ...

    def lookup(self, key_id: str) -> Credential | None: ...


# What the ledger says was spent by requests of `scope` (an id of an organisation, a project or a key) that began from `start_ms` to before
# `end_ms` (Unix milliseconds, full hours): micro-units of currency. Never asked on a request's path but once for a window. Raises StoreError.
class Spending(Protocol):
    async def spent(self, scope: str, start_ms: int, end_ms: int) -> int: ...


# `place` is synchronous and touches memory only, as `Keys.lookup` does. None for a project that is unknown, archived, or of an organisation
# that is.
class Projects(Protocol):
    def place(self, project_id: str) -> Place | None: ...


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


class Asked(msgspec.Struct, frozen=True):
    """What one request asks of the counters. `request_id` is minted by us: letters, digits, `_` and `-`, at most 64."""

    request_id: str
    owner: str  # the worker that answers for it, named likewise
    charges: Charges
    note: bytes = b""  # at most 512 bytes that whoever settles an orphan wants to know


class Granted(msgspec.Struct, frozen=True):
    """All charges fitted. `values` are what their counters hold now, in the same order."""

    values: tuple[int, ...]


class Refused(msgspec.Struct, frozen=True):
    """Nothing was charged: `index` is the first charge that didn't fit; `values` are what the counters held."""

    index: int
    values: tuple[int, ...]


class Unloaded(msgspec.Struct, frozen=True):
    """Nothing was charged: these counters of money were not loaded from the ledger yet. Call `load`, then ask again."""

    charges: Charges


class Reading(msgspec.Struct, frozen=True):
    """One counter: `value` is all that counts against the limit, `reserved` the part of it that is not settled yet."""

    value: int
    reserved: int


# Counters of limits and budgets. Each call is one atomic step over all of its charges, whoever else calls: all or none.
#
# reserve   takes the amounts where every counter stays within its limit, and says the values. A request id that is reserved, or settled,
#           is answered `Granted` again and charged nothing; one that was released can't be reserved any more. A counter of money has to be
#           loaded once: an empty store must not look like an unspent budget.
# settle    gives back what was reserved and charges `actuals` (the same charges, other amounts), once for each request id. `ended_ms` is when
#           the request ended by its entry in the ledger; the entry is there before. A reservation that is unknown, because the store lost
#           it, is charged the actuals, except for money that was, or will be, loaded with that entry in it.
# release   gives back what was reserved, and charges nothing: the request never left. Once, too.
# renew     says that `owner` lives; `lease_seconds` after the last renew or reserve its reservations are orphans.
# orphans   are reservations without a living owner, for the caller to settle. Several callers may be told of the same ones.
# read      says what counters hold; those without a value hold 0.
# load      adds what the ledger says was spent (sums of entries that had ended by `as_of_ms`), to each counter that wasn't loaded before.
#
# Amounts are integers in 0 … 10^18, sums end at 2^63 - 1. Windows are the caller's (`now_ms`, Unix milliseconds); leases and forgetting run
# on a clock of the counters' own, so that a clock that jumps loses nothing. Raises: CountersAway when the store can't be reached in time; what
# a reserve may have taken there is given back, and its id is of no use any more. StoreError for a request id that was released.
class Counters(Protocol):
    async def reserve(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded: ...

    async def settle(self, request_id: str, actuals: Charges, ended_ms: int) -> None: ...

    async def release(self, request_id: str) -> None: ...

    async def renew(self, owner: str) -> None: ...

    async def orphans(self) -> Sequence[Asked]: ...

    async def read(self, names: Sequence[str]) -> Sequence[Reading]: ...

    async def load(self, spent: Charges, as_of_ms: int) -> None: ...
