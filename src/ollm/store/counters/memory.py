"""Counters in this process: for one worker. Exact, since nothing waits between looking and taking; gone with the process.

What was spent is loaded from the ledger again; what was reserved by a process that died is in no counter of the next one.
"""

import collections
import heapq
from collections.abc import Callable, Sequence

from ollm.errors import StoreError
from ollm.ports import Asked, Granted, Reading, Refused, Unloaded
from ollm.traffic.charges import Charge

ENDED_SECONDS = 300  # that the id of a settled request is remembered: whoever repeats a call does so in seconds
LARGEST = 2**63 - 1  # as in Valkey
_MIN_KEPT = 60.0  # seconds that any counter is kept, also where a clock jumped behind its window


class _Counter:
    __slots__ = ("forget_at", "loaded_ms", "reserved", "value")

    def __init__(self, forget_at: float) -> None:
        self.value = 0  # spent and reserved
        self.reserved = 0
        self.loaded_ms: int | None = None  # of money: entries that had ended by then are in it
        self.forget_at = forget_at  # seconds of the monotonic clock


class MemoryCounters:
    """The port `Counters`, for one event loop. `monotonic` gives seconds of a clock that doesn't jump."""

    def __init__(self, monotonic: Callable[[], float], *, lease_seconds: float = 15.0, needs_load: bool = True) -> None:
        """`needs_load`: counters of money are loaded before they are charged."""
        self._monotonic = monotonic
        self._lease = lease_seconds
        self._needs_load = needs_load
        self._counters: dict[str, _Counter] = {}
        self._forget: list[tuple[float, str]] = []  # a heap: one entry for each counter
        self._held: dict[str, tuple[Asked, list[_Counter]]] = {}
        self._ended: dict[str, bool] = {}  # True: settled; False: released
        self._ended_order: collections.deque[tuple[float, str]] = collections.deque()
        self._alive: dict[str, float] = {}  # owner → end of its lease

    async def reserve(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded:
        """As the port says."""
        now = self._monotonic()
        self._clean(now)
        self._alive[asked.owner] = now + self._lease
        if asked.request_id in self._held or asked.request_id in self._ended:
            if self._ended.get(asked.request_id, True):
                return Granted(tuple([self._value(charge.name) for charge in asked.charges]))
            raise StoreError("this request was released already")
        found = self._found(asked.charges)
        if isinstance(found, Unloaded | Refused):
            return found
        counters = []
        for charge, counter in found:
            if counter is None or charge.span is None:
                counter = self._kept(charge, now_ms, now)
            counter.value += charge.amount
            counter.reserved += charge.amount
            counters.append(counter)
        self._held[asked.request_id] = (asked, counters)
        return Granted(tuple([counter.value for counter in counters]))

    def _found(self, charges: Sequence[Charge]) -> list[tuple[Charge, _Counter | None]] | Unloaded | Refused:
        """Each charge with its counter, if all of them have room; otherwise why not."""
        known = self._counters
        found = [(charge, known.get(charge.name)) for charge in charges]
        if self._needs_load:
            unloaded = [charge for charge, counter in found if charge.what == "money" and (counter is None or counter.loaded_ms is None)]
            if unloaded:
                return Unloaded(tuple(unloaded))
        for index, (charge, counter) in enumerate(found):
            if charge.amount + (0 if counter is None else counter.value) > charge.limit:
                return Refused(index, tuple([0 if counter is None else counter.value for _, counter in found]))
        return found

    async def settle(self, request_id: str, actuals: Sequence[Charge], ended_ms: int) -> None:
        """As the port says."""
        now = self._monotonic()
        self._clean(now)
        if request_id in self._ended:
            return
        known = self._give_back(request_id)
        for charge in actuals:
            counter = self._counters.get(charge.name) if known else self._for_unknown(charge, ended_ms, now)
            if counter is not None:
                counter.value = min(counter.value + charge.amount, LARGEST)
        self._end(request_id, settled=True, now=now)

    async def release(self, request_id: str) -> None:
        """As the port says."""
        if request_id in self._ended:
            return
        self._give_back(request_id)
        self._end(request_id, settled=False, now=self._monotonic())

    async def renew(self, owner: str) -> None:
        """As the port says."""
        now = self._monotonic()
        self._clean(now)
        self._alive[owner] = now + self._lease

    async def orphans(self) -> Sequence[Asked]:
        """As the port says."""
        now = self._monotonic()
        lapsed = {owner for owner, until in self._alive.items() if until <= now}
        found = [asked for asked, _ in self._held.values() if asked.owner in lapsed]
        for owner in lapsed - {asked.owner for asked in found}:
            del self._alive[owner]
        return found

    async def read(self, names: Sequence[str]) -> Sequence[Reading]:
        """As the port says."""
        return [Reading(0, 0) if (counter := self._counters.get(name)) is None else Reading(counter.value, counter.reserved) for name in names]

    async def load(self, spent: Sequence[Charge], as_of_ms: int) -> None:
        """As the port says."""
        now = self._monotonic()
        for charge in spent:
            counter = self._counters.get(charge.name) or self._kept(charge, as_of_ms, now)
            if counter.loaded_ms is None:
                counter.loaded_ms = as_of_ms
                counter.value = min(counter.value + charge.amount, LARGEST)

    async def close(self) -> None:
        """There is nothing to leave."""

    def held(self, request_id: str) -> Asked | None:
        """The reservation of a request, if it is neither settled nor released."""
        found = self._held.get(request_id)
        return None if found is None else found[0]

    def sizes(self) -> tuple[int, int, int]:
        """How many counters, reservations and ended requests are in memory."""
        return len(self._counters), len(self._held), len(self._ended)

    def _value(self, name: str) -> int:
        counter = self._counters.get(name)
        return 0 if counter is None else counter.value

    def _kept(self, charge: Charge, now_ms: int, now: float) -> _Counter:
        """The counter of `charge`, which from now on is kept as long as it says."""
        forget_at = now + max((charge.forget_ms - now_ms) / 1000, _MIN_KEPT)
        counter = self._counters.get(charge.name)
        if counter is None:
            counter = self._counters[charge.name] = _Counter(forget_at)
            heapq.heappush(self._forget, (forget_at, charge.name))
        counter.forget_at = forget_at
        return counter

    def _for_unknown(self, charge: Charge, ended_ms: int, now: float) -> _Counter | None:
        """The counter that takes a charge which nothing was reserved for; None where that is, or will be, loaded, or is long over."""
        counter = self._counters.get(charge.name)
        if charge.what == "money" and self._needs_load:
            loaded_ms = None if counter is None else counter.loaded_ms
            return counter if loaded_ms is not None and ended_ms > loaded_ms else None
        if counter is None and charge.forget_ms > ended_ms and charge.amount:
            return self._kept(charge, ended_ms, now)
        return counter

    def _give_back(self, request_id: str) -> bool:
        """Whether anything was reserved for the request; it isn't any more."""
        held = self._held.pop(request_id, None)
        if held is None:
            return False
        asked, counters = held
        for charge, counter in zip(asked.charges, counters, strict=True):
            counter.value -= charge.amount
            counter.reserved -= charge.amount
        return True

    def _end(self, request_id: str, *, settled: bool, now: float) -> None:
        self._ended[request_id] = settled
        self._ended_order.append((now + ENDED_SECONDS, request_id))

    def _clean(self, now: float) -> None:
        """Forget what nobody asks for any more."""
        order, heap = self._ended_order, self._forget
        while order and order[0][0] <= now:
            del self._ended[order.popleft()[1]]
        while heap and heap[0][0] <= now:
            _, name = heapq.heappop(heap)
            counter = self._counters[name]
            if counter.reserved:  # whoever holds it will come back
                counter.forget_at = max(counter.forget_at, now + _MIN_KEPT)
            if counter.forget_at > now:
                heapq.heappush(heap, (counter.forget_at, name))
            else:
                del self._counters[name]
