"""Counters in this process: for one worker. Exact, since nothing waits between looking and taking; gone with the process.

What was spent is loaded from the ledger again; what was reserved by a process that died is in no counter of the next one.
"""

import collections
import heapq
from collections.abc import Callable, Sequence
from operator import add, attrgetter, gt

from ollm.errors import StoreError
from ollm.ports import Asked, Granted, Reading, Refused, Unloaded
from ollm.traffic.charges import Charges, Meter

ENDED_SECONDS = 300  # that the id of a settled request is remembered: whoever repeats a call does so in seconds
LARGEST = 2**63 - 1  # that is told of a sum, as in Valkey
_MIN_KEPT = 60.0  # seconds that any counter is kept, also where a clock jumped behind its window
_CLEANED = 1.0  # seconds between two looks at what may be forgotten


class _Counter:
    __slots__ = ("loaded_ms", "spent", "value")

    def __init__(self) -> None:
        self.value = 0  # spent and reserved
        self.spent = 0
        self.loaded_ms: int | None = None  # of money: entries that had ended by then are in it


_value = attrgetter("value")


class MemoryCounters:
    """The port `Counters`, for one event loop. `monotonic` gives seconds of a clock that doesn't jump.

    Each request reserves and settles, on ten counters or so: what is the same for all of them is done by functions that take them at once.
    """

    def __init__(self, monotonic: Callable[[], float], *, lease_seconds: float = 15.0, needs_load: bool = True) -> None:
        """`needs_load`: counters of money are loaded before they are charged."""
        self._monotonic = monotonic
        self._lease = lease_seconds
        self._needs_load = needs_load
        self._counters: dict[str, _Counter] = {}  # one of money that needs to be loaded is there from then on
        self._forget: list[tuple[float, str]] = []  # a heap: one entry for each counter
        self._held: dict[str, tuple[Asked, list[_Counter]]] = {}
        self._ended: dict[str, bool] = {}  # True: settled; False: released
        self._ended_order: collections.deque[tuple[float, str]] = collections.deque()
        self._alive: dict[str, float] = {}  # owner → end of its lease
        self._clean_at = monotonic()

    async def reserve(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded:
        """As the port says."""
        now = self._monotonic()
        if now >= self._clean_at:
            self._clean(now)
        request_id, charges = asked.request_id, asked.charges
        self._alive[asked.owner] = now + self._lease
        if request_id in self._held or request_id in self._ended:
            return self._again(asked)
        meters = charges.meters
        try:
            counters = list(map(self._counters.__getitem__, meters.names))
        except KeyError:
            unloaded = self._begin(charges, now_ms, now)
            if unloaded is not None:
                return unloaded
            counters = list(map(self._counters.__getitem__, meters.names))
        values = tuple(map(add, map(_value, counters), charges.amounts))
        if any(map(gt, values, meters.limits)):
            return _refused(meters.limits, values, counters)
        for counter, value in zip(counters, values, strict=True):
            counter.value = value
        self._held[request_id] = (asked, counters)
        return Granted(values)

    def _again(self, asked: Asked) -> Granted:
        """The answer to a reserve that came before. Raises: StoreError where the request was released."""
        if self._ended.get(asked.request_id, True):
            return Granted(tuple([self._read(name).value for name in asked.charges.meters.names]))
        raise StoreError("this request was released already")

    def _begin(self, charges: Charges, now_ms: int, now: float) -> Unloaded | None:
        """Begin the counters that aren't there; none where some have to be loaded first."""
        meters, known = charges.meters, self._counters
        if self._needs_load and (unloaded := [index for index in meters.money if meters.names[index] not in known]):
            return Unloaded(charges.some(unloaded))
        for meter in meters.each:
            if meter.name not in known:
                self._kept(meter, now_ms, now)
        return None

    async def settle(self, request_id: str, actuals: Charges, ended_ms: int) -> None:
        """As the port says. Raises: ValueError for charges on other counters than what was reserved."""
        now = self._monotonic()
        found = self._held.get(request_id)
        if found is not None:
            reserved, counters = found[0].charges, found[1]
            if actuals.meters.names != reserved.meters.names:
                raise ValueError("a request is settled on the counters that it was reserved on")
            for counter, held, actual in zip(counters, reserved.amounts, actuals.amounts, strict=True):
                counter.value += actual - held
                counter.spent += actual
            del self._held[request_id]
        elif request_id in self._ended:
            return
        else:
            self._charge_unknown(actuals, ended_ms, now)
        self._ended[request_id] = True
        self._ended_order.append((now + ENDED_SECONDS, request_id))

    async def release(self, request_id: str) -> None:
        """As the port says."""
        if request_id in self._ended:
            return
        found = self._held.pop(request_id, None)
        if found is not None:
            for counter, held in zip(found[1], found[0].charges.amounts, strict=True):
                counter.value -= held
        self._ended[request_id] = False
        self._ended_order.append((self._monotonic() + ENDED_SECONDS, request_id))

    async def renew(self, owner: str) -> None:
        """As the port says."""
        now = self._monotonic()
        self._clean(now)
        self._alive[owner] = now + self._lease

    async def orphans(self) -> Sequence[Asked]:
        """As the port says."""
        now = self._monotonic()
        lapsed = {owner for owner, until in self._alive.items() if until <= now}
        if not lapsed:
            return []
        found = [asked for asked, _ in self._held.values() if asked.owner in lapsed]
        for owner in lapsed - {asked.owner for asked in found}:
            del self._alive[owner]
        return found

    async def read(self, names: Sequence[str]) -> Sequence[Reading]:
        """As the port says."""
        return [self._read(name) for name in names]

    async def load(self, spent: Charges, as_of_ms: int) -> None:
        """As the port says."""
        now = self._monotonic()
        for meter, amount in zip(spent.meters.each, spent.amounts, strict=True):
            counter = self._counters.get(meter.name) or self._kept(meter, as_of_ms, now)
            if counter.loaded_ms is None:
                counter.loaded_ms = as_of_ms
                counter.value += amount
                counter.spent += amount

    async def close(self) -> None:
        """There is nothing to leave."""

    def held(self, request_id: str) -> Asked | None:
        """The reservation of a request, if it is neither settled nor released."""
        found = self._held.get(request_id)
        return None if found is None else found[0]

    def sizes(self) -> tuple[int, int, int]:
        """How many counters, reservations and ended requests are in memory."""
        return len(self._counters), len(self._held), len(self._ended)

    def _read(self, name: str) -> Reading:
        counter = self._counters.get(name)
        return Reading(0, 0) if counter is None else Reading(min(counter.value, LARGEST), counter.value - counter.spent)

    def _kept(self, meter: Meter, now_ms: int, now: float) -> _Counter:
        """A new counter, for as long as `meter` says."""
        counter = self._counters[meter.name] = _Counter()
        heapq.heappush(self._forget, (now + max((meter.forget_ms - now_ms) / 1000, _MIN_KEPT), meter.name))
        return counter

    def _charge_unknown(self, actuals: Charges, ended_ms: int, now: float) -> None:
        """Charge what nothing was reserved for; not where that is, or will be, loaded, or is long over."""
        for meter, amount in zip(actuals.meters.each, actuals.amounts, strict=True):
            counter = self._counters.get(meter.name)
            if meter.what == "money" and self._needs_load:
                if counter is None or counter.loaded_ms is None or ended_ms <= counter.loaded_ms:
                    continue
            elif counter is None and meter.forget_ms > ended_ms and amount:
                counter = self._kept(meter, ended_ms, now)
            if counter is not None:
                counter.value += amount
                counter.spent += amount

    def _clean(self, now: float) -> None:
        """Forget what nobody asks for any more."""
        order, heap = self._ended_order, self._forget
        while order and order[0][0] <= now:
            del self._ended[order.popleft()[1]]
        while heap and heap[0][0] <= now:
            _, name = heapq.heappop(heap)
            counter = self._counters[name]
            if counter.value != counter.spent:  # whoever holds something of it will come back
                heapq.heappush(heap, (now + _MIN_KEPT, name))
            else:
                del self._counters[name]
        self._clean_at = now + _CLEANED


def _refused(limits: Sequence[int], values: Sequence[int], counters: Sequence[_Counter]) -> Refused:
    """The first of `values` that is above its limit, and what the counters hold."""
    index = next(index for index, value in enumerate(values) if value > limits[index])
    return Refused(index, tuple([min(counter.value, LARGEST) for counter in counters]))
