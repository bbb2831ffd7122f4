"""What the store does by itself beside requests: roll-ups every few seconds, days ahead and retention every hour.

Any number of processes may do so at once: each step finds out whether another has done it. A step that fails is tried again at its next
turn, and `trouble` says which failed; nothing of it stands in a request's way.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Engine

from ollm.errors import StoreError
from ollm.ports import Clock
from ollm.store.database import is_postgresql
from ollm.store.partitions import make_ahead
from ollm.store.retention import Kept, let_go
from ollm.store.rollups import Roller

log = logging.getLogger("ollm.store")
ROLL_SECONDS = 5.0
HOURLY_SECONDS = 3600.0
_BATCHES = 20  # of one turn: the thread is nobody else's meanwhile


class Upkeep:
    """Start it within an event loop and close it there; the work is done on threads."""

    def __init__(self, engine: Engine, kept: Kept, clock: Clock) -> None:
        self._engine = engine
        self._kept = kept
        self._clock = clock
        self._roller = Roller(engine)
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = threading.Event()
        self._woken = asyncio.Event()
        self.trouble: dict[str, str] = {}  # step → why it failed last time

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for name, step, seconds in (("roll-ups", self.roll, ROLL_SECONDS), ("days", self.tidy, HOURLY_SECONDS)):
            self._tasks.append(loop.create_task(self._often(name, step, seconds), name=f"ollm.store.{name}"))

    async def close(self) -> None:
        """Return once no step runs any more; one that takes long ends early, and loses nothing."""
        self._stop.set()
        self._woken.set()
        await asyncio.gather(*self._tasks)
        self._tasks = []

    def roll(self) -> None:
        """One turn of the roll-ups. Raises: StoreError."""
        self._roller.run(batches=_BATCHES)

    def tidy(self) -> None:
        """Days ahead, and what is over. Raises: StoreError."""
        if is_postgresql(self._engine):
            make_ahead(self._engine)
        let_go(self._engine, self._kept, self._clock.now_ms(), pause=self._pause)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoreError("the store closes")

    async def _often(self, name: str, step: Callable[[], None], seconds: float) -> None:
        while not self._stop.is_set():
            try:
                await asyncio.to_thread(step)
                self.trouble.pop(name, None)
            except StoreError as error:
                if self._stop.is_set():
                    return  # it was told to end early
                if self.trouble.get(name) != str(error):
                    log.warning("upkeep of the store failed", extra={"step": name, "error": str(error)})
                self.trouble[name] = str(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)
