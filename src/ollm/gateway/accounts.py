"""Limits and budgets of the requests of one worker: what is reserved before a request leaves, and what it took in the end.

The counters may be other processes' as well. What can't be settled because they are away is settled when they are back; what a worker left
behind that died is settled by the others, at what was reserved, with a row in the ledger that says so.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from ollm.errors import CountersAway, StoreError
from ollm.ports import Asked, Clock, Counters, Granted, Ledger, Refused, Spending, Unloaded
from ollm.traffic.charges import Charges, Load, Meter, Meters, settled, together
from ollm.values.ledger import Entry, lost_entry

log = logging.getLogger("ollm.gateway")

MOST_WAITING = 100_000  # settlements that wait for counters to come back
_SETTLES_IN = 0.1  # seconds in which an entry that has ended is in the ledger, if it ever is
_MOST_TOLD = 100_000
_LOADS = 3  # tries: another window may begin in between


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What stands with a reservation, so that anybody can settle it."""

    key_id: str
    project: str
    endpoint: str
    model: str
    started_ms: int
    micro: int | None  # None: no price is known, and no budget asked for one


_encode, _note = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Note).decode


class Accounts:
    """Used from one event loop. `owner` names this worker among those that share the counters."""

    def __init__(self, counters: Counters, spending: Spending, ledger: Ledger, clock: Clock, *, owner: str, lease_seconds: float) -> None:
        self._counters = counters
        self._spending = spending
        self._ledger = ledger
        self._clock = clock
        self._owner = owner
        self._every = lease_seconds / 3
        self._unsettled: dict[str, tuple[Charges, int] | None] = {}  # None: to be released
        self._told: set[tuple[str, int]] = set()  # alerts that were logged
        self._runner: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew, to retry and to look for what others left behind."""
        self._runner = asyncio.get_running_loop().create_task(self._run(), name="ollm.accounts")

    async def close(self) -> None:
        """End that, after one more try at what waits."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
            self._runner = None
            with suppress(CountersAway, StoreError):
                await self._retry()

    @property
    def waiting(self) -> int:
        """Requests that are not settled yet, since the counters are away."""
        return len(self._unsettled)

    async def reserve(self, request_id: str, charges: Charges, note: Note) -> Granted | Refused:
        """All of `charges` or none. Raises: CountersAway; StoreError when what was spent can't be read."""
        asked = Asked(request_id, self._owner, charges, _encode(note))
        answer = await self._counters.reserve(asked, self._clock.now_ms())
        tries = 0
        while isinstance(answer, Unloaded):
            if tries == _LOADS:
                raise CountersAway("the counters of money don't stay loaded")
            await self._load(answer.charges.meters)
            answer = await self._counters.reserve(asked, self._clock.now_ms())
            tries += 1
        return answer

    async def settle(self, request_id: str, charges: Charges, load: Load, ended_ms: int) -> None:
        """What the request took in the end. Its entry is in the ledger. Raises: nothing; what can't be settled now waits."""
        actuals = settled(charges, load)
        try:
            await self._counters.settle(request_id, actuals, ended_ms)
        except (CountersAway, StoreError):
            self._keep(request_id, (actuals, ended_ms))

    async def release(self, request_id: str) -> None:
        """The request never left. Raises: nothing."""
        try:
            await self._counters.release(request_id)
        except (CountersAway, StoreError):
            self._keep(request_id, None)

    def watch(self, meters: Meters, values: Sequence[int]) -> None:
        """Log once for each window that a budget's alert level is reached, with what is reserved in it."""
        for alert in meters.alerts:
            if values[alert.index] >= alert.level:
                self._tell(meters.each[alert.index], alert.percent)

    def _tell(self, budget: Meter, percent: int) -> None:
        if (budget.name, percent) not in self._told:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told.add((budget.name, percent))
            log.warning("a budget has reached an alert level", extra={"scope": budget.scope, "window": budget.span, "percent": percent})

    async def read(self, names: Sequence[str]) -> Sequence[int]:
        """What counters hold, reserved amounts included. Raises: CountersAway."""
        return [reading.value for reading in await self._counters.read(names)]

    async def filled(self, meters: Meters) -> Sequence[int]:
        """What the counters of `meters` hold, with those of money loaded from the ledger first. Raises: CountersAway, StoreError."""
        if meters.money:
            await self._load(together([meters.each[index] for index in meters.money]))
        return await self.read(meters.names)

    def _keep(self, request_id: str, what: tuple[Charges, int] | None) -> None:
        if len(self._unsettled) < MOST_WAITING:
            self._unsettled[request_id] = what
        else:
            log.error("too many requests wait to be settled; their reservations stay", extra={"waiting": len(self._unsettled)})

    async def _load(self, money: Meters) -> None:
        """Tell the counters what was spent, by the ledger."""
        as_of = self._clock.now_ms()
        await asyncio.sleep(_SETTLES_IN)
        spent = [await self._spending.spent(meter.scope, meter.start * 1000, meter.end * 1000) for meter in money.each]
        await self._counters.load(Charges(money, tuple(spent)), as_of)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._counters.renew(self._owner)
                await self._retry()
                await self._settle_orphans()
            except (CountersAway, StoreError) as problem:
                log.warning("limits and budgets can't be kept up now", extra={"error": str(problem)})

    async def _retry(self) -> None:
        for request_id, what in list(self._unsettled.items()):
            if what is None:
                await self._counters.release(request_id)
            else:
                await self._counters.settle(request_id, *what)
            self._unsettled.pop(request_id, None)

    async def _settle_orphans(self) -> None:
        """A worker died: what it had under way may have been answered, so it is charged what was reserved for it, and stands in the ledger."""
        for orphan in await self._counters.orphans():
            entry = await self._ledger.find(orphan.request_id)
            if entry is None:
                await self._ledger.complete(lost(orphan.request_id, _note(orphan.note), self._clock.now_ms()))
                entry = await self._ledger.find(orphan.request_id)
            if entry is not None:
                actuals = settled(orphan.charges, Load(tokens=entry.usage.total_tokens, micro=entry.cost_micro or 0))
                await self._counters.settle(orphan.request_id, actuals, ended_ms(entry))


def ended_ms(entry: Entry) -> int:
    """When the request ended, by its entry: Unix milliseconds."""
    return entry.started_ms + entry.total_us // 1000


def lost(request_id: str, note: Note, now_ms: int) -> Entry:
    """The row of a request that another worker left behind: its endpoint is known, where it was sent isn't. It ended when it was found."""
    return lost_entry(
        request_id,
        key_id=note.key_id,
        project=note.project,
        endpoint=note.endpoint,
        model=note.model,
        started_ms=note.started_ms,
        reserved_micro=note.micro,
        total_us=max(0, now_ms - note.started_ms) * 1000,
    )
