"""What happens while the shared counters are away, and how everything is right again when they are back.

    refuse   no request that a limit or a budget stands above is let through: the limits hold, whatever it costs
    local    this worker gives out a stated share of every limit by itself, counted in its own memory: requests go on, and the sum of what the
             workers give out in a window of an outage is at most the share, times the number of workers, times the limit

In both cases what happened meanwhile is told to the store before anything new is granted there: requests that ended are settled, those under
way are held. The same after the store lost its memory: its epoch is another one then, and every worker says again what it holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from ollm.errors import CountersAway
from ollm.ports import Asked, Granted, Reading, Refused, Unloaded
from ollm.store.counters.memory import MemoryCounters
from ollm.store.counters.valkey import BegunAnew, TooYoung, ValkeyCounters
from ollm.traffic.charges import Charges, together

WhenAway: TypeAlias = Literal["refuse", "local"]

_MIN_PAUSE, _MAX_PAUSE = 0.1, 2.0  # seconds before the store is tried again
_PATIENCE = 0.5  # seconds that a request waits for another one to find out whether the store is back
_MAX_OWED = 50_000  # endings that are kept for the store; with more, nothing is granted locally any more


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What to do while the store is away. `local_share_permille`: of each limit, given out by this worker alone."""

    when_away: WhenAway = "refuse"
    local_share_permille: int = 100


class _Ending(msgspec.Struct, frozen=True):
    """How a request ended that the store wasn't told of. `actuals` None: it was released."""

    actuals: Charges | None
    ended_ms: int
    epoch: str


class _Held(msgspec.Struct):
    asked: Asked
    epoch: str  # in which the store holds it; "": it doesn't


class FallbackCounters:
    """The port `Counters` over shared counters that may be away. `monotonic` gives seconds; `now_ms` Unix milliseconds."""

    def __init__(self, shared: ValkeyCounters, rules: Rules, monotonic: Callable[[], float], now_ms: Callable[[], int]) -> None:
        self._shared = shared
        self._rules = rules
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._local = MemoryCounters(monotonic, needs_load=False)
        self._held: dict[str, _Held] = {}
        self._owed: dict[str, _Ending] = {}
        self._away = True  # until it was spoken to for the first time
        self._turn = asyncio.Lock()  # of whoever catches up
        self._pause = 0.0
        self._try_at = monotonic()

    @property
    def away(self) -> bool:
        """Whether the store can't be asked now, for readiness and metrics."""
        return self._away

    @property
    def owed(self) -> int:
        """How many requests ended that the store has yet to be told of."""
        return len(self._owed)

    async def close(self) -> None:
        """Tell the store what it is owed, if it is there, and leave it."""
        await self._ready()
        await self._shared.close()

    async def reserve(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded:
        """As the port says. Raises: CountersAway where the rules say refuse, or too much is owed already."""
        doubt = False  # whether it may have been granted there, and the answer lost
        for _ in range(2):  # again where the store turns out to be a new one
            problem = self._problem()
            if not await self._ready():
                break
            try:
                return await self._there(asked, now_ms)
            except BegunAnew:
                self._lost(pause=False)
            except TooYoung as young:
                problem = young
                break
            except CountersAway:
                self._lost()
                doubt = True
                break
        return await self._without(asked, now_ms, problem, doubt=doubt)

    async def settle(self, request_id: str, actuals: Charges, ended_ms: int) -> None:
        """As the port says; the store is told later if it is away."""
        held = self._held.pop(request_id, None)
        if self._local.held(request_id) is not None:
            await self._local.settle(request_id, actuals, ended_ms)
        await self._tell(request_id, _Ending(actuals, ended_ms, "" if held is None else held.epoch))

    async def release(self, request_id: str) -> None:
        """As the port says; the store is told later if it is away."""
        held = self._held.pop(request_id, None)
        await self._local.release(request_id)
        await self._tell(request_id, _Ending(None, 0, "" if held is None else held.epoch))

    async def renew(self, owner: str) -> None:
        """As the port says; call it at least every third of a lease. It also notices when the store went away, came back, or began anew."""
        await self._local.renew(owner)
        for _ in range(2):
            if not await self._ready():
                break
            try:
                await self._shared.renew(owner)
                await self._pay()
                break
            except BegunAnew:
                self._lost(pause=False)
            except CountersAway:
                self._lost()

    async def orphans(self) -> Sequence[Asked]:
        """As the port says; none while the store is away, and none that this worker still holds."""
        if not await self._ready():
            return []
        try:
            return [orphan for orphan in await self._shared.orphans() if orphan.request_id not in self._held]
        except CountersAway:
            self._lost()
            return []

    async def read(self, names: Sequence[str]) -> Sequence[Reading]:
        """As the port says. Raises: CountersAway."""
        await self._demand()
        return await self._shared.read(names)

    async def load(self, spent: Charges, as_of_ms: int) -> None:
        """As the port says. Raises: CountersAway."""
        await self._demand()
        await self._shared.load(spent, as_of_ms)

    async def _demand(self) -> None:
        if not await self._ready():
            raise self._problem()

    def _problem(self) -> CountersAway:
        return CountersAway("the counter store is away", max(self._try_at - self._monotonic(), _MIN_PAUSE))

    async def _there(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded:
        epoch = self._shared.epoch
        try:
            answer = await self._shared.reserve(asked, now_ms)
        except asyncio.CancelledError:
            self._owed[asked.request_id] = _Ending(None, now_ms, epoch)  # nobody will answer for it
            raise
        if isinstance(answer, Granted):
            self._held.setdefault(asked.request_id, _Held(asked, epoch))
        return answer

    async def _without(self, asked: Asked, now_ms: int, problem: CountersAway, *, doubt: bool) -> Granted | Refused | Unloaded:
        """What the rules say where the store doesn't grant because of `problem`."""
        if doubt:
            self._owed[asked.request_id] = _Ending(None, now_ms, "")  # to be taken back there
        if self._rules.when_away == "refuse":
            raise problem
        answer = await self._locally(asked, now_ms)
        if isinstance(answer, Granted):
            self._owed.pop(asked.request_id, None)  # it goes on: what may be held there stays held
            if not self._away:  # it is only too young: it can hold what it doesn't grant
                await self._adopt(self._held[asked.request_id])
        return answer

    async def _adopt(self, held: _Held) -> None:
        try:
            await self._shared.adopt(held.asked, self._now_ms())
            held.epoch = self._shared.epoch
        except CountersAway:
            self._lost()

    async def _locally(self, asked: Asked, now_ms: int) -> Granted | Refused | Unloaded:
        """Out of this worker's own share. Values are shown as if the rest of each limit were used."""
        if len(self._owed) >= _MAX_OWED:
            raise CountersAway("the counter store is away for so long that no more can be owed to it", _MAX_PAUSE)
        meters = asked.charges.meters
        shares = [limit * self._rules.local_share_permille // 1000 for limit in meters.limits]
        own = together([msgspec.structs.replace(meter, limit=share) for meter, share in zip(meters.each, shares, strict=True)])
        answer = await self._local.reserve(msgspec.structs.replace(asked, charges=Charges(own, asked.charges.amounts)), now_ms)
        if isinstance(answer, Unloaded):
            return answer
        values = [value + limit - share for value, limit, share in zip(answer.values, meters.limits, shares, strict=True)]
        if isinstance(answer, Refused):
            return Refused(answer.index, tuple(values))
        self._held.setdefault(asked.request_id, _Held(asked, ""))
        return Granted(tuple(values))

    async def _tell(self, request_id: str, ending: _Ending) -> None:
        self._owed[request_id] = ending
        if self._away:
            return
        try:
            await self._pass_on(request_id, ending)
        except CountersAway:
            self._lost()
        else:
            self._owed.pop(request_id, None)

    async def _pass_on(self, request_id: str, ending: _Ending) -> None:
        if ending.actuals is None:
            await self._shared.release(request_id)
        else:
            await self._shared.settle(request_id, ending.actuals, ending.ended_ms, epoch=ending.epoch)

    def _lost(self, *, pause: bool = True) -> None:
        """The store is away from now on; after a pause, longer each time, it is tried again."""
        self._away = True
        if pause:
            self._pause = min(max(2 * self._pause, _MIN_PAUSE), _MAX_PAUSE)
        self._try_at = self._monotonic() + (self._pause if pause else 0.0)

    def _due(self) -> bool:
        return self._away and self._monotonic() >= self._try_at

    async def _ready(self) -> bool:
        """Whether the store is there and knows everything that it should; if it is due to be tried, one caller does, and some wait for that."""
        if not self._due():
            return not self._away
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._turn.acquire()
        except TimeoutError:
            return False
        try:
            if not self._due():  # somebody else has tried
                return not self._away
            await self._catch_up()
            self._away = False
            self._pause = 0.0
            return True
        except CountersAway:
            self._lost()
            return False
        finally:
            self._turn.release()

    async def _catch_up(self) -> None:
        """Tell the store what is under way and what ended. What ends meanwhile is owed as well, so that nothing is left when this returns."""
        epoch = await self._shared.enter()
        for held in [held for held in self._held.values() if held.epoch != epoch]:
            if self._held.get(held.asked.request_id) is held:
                await self._shared.adopt(held.asked, self._now_ms())
                held.epoch = self._shared.epoch
        await self._pay()

    async def _pay(self) -> None:
        while self._owed:
            request_id, ending = next(iter(self._owed.items()))
            await self._pass_on(request_id, ending)
            self._owed.pop(request_id, None)
