"""The ledger's writer: group commit on the event loop, the disk on a thread.

How an entry becomes durable:

    complete() ─► waiting ─► one transaction for all that wait, on the loop ─► fdatasync(WAL), on a thread ─► answered
                  ▲                                                                  │
                  └────────── the next batch gathers while the disk is busy ◄────────┘

The transaction runs with synchronous=NORMAL, so COMMIT only writes to the page cache; the fdatasync of the WAL before
anyone is answered makes it as durable as synchronous=FULL would. Doing the two apart keeps SQLite's write lock free
while the disk works (an admin's `keys revoke` gets its turn), and keeps all of SQLite on the loop's thread, since the
driver lets go of the GIL at each row, which on another thread means waiting to get it back. With durability "process"
there is no fdatasync: what is committed survives kill -9, not power loss.

A batch waits some turns of the loop for company. An idle loop goes through them in microseconds; one under load is slower, and others join:
a commit with 8 entries costs each of them half of what one with 4 does, which is a tenth of all of a request.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ollm.errors import StoreError
from ollm.store.database import BUSY_MS, store_error
from ollm.store.names import Names
from ollm.store.rows import INSERT_ENTRY, INSERT_RECEIPT, row_of
from ollm.store.syncer import Syncer
from ollm.values.ledger import Entry, Status

Durability = Literal["full", "process"]
# An entry with a value that a column refuses or the driver can't bind: a mistake of ours upstream, which must not take others along.
_UNFIT = (
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError),
    *(OverflowError, UnicodeError, AttributeError, TypeError),
)
Waiter = tuple[Entry, asyncio.Future[None]]

_STANDING, _LOST = "SELECT status FROM ledger WHERE request_id = ?", (Status.LOST.value,)
_RESTART = "look at the disk and the log, then restart the gateway"
RETRY_SECONDS = 0.001  # when another process holds the write lock
TURNS = 6  # of the loop that a batch waits for company: more were measured to save no more
ENOUGH = 16  # entries that wait for nobody
CHECKPOINT_SECONDS = 1.0
MAX_WAL_PAGES = 16_384  # 64 MiB: beyond this a checkpoint gets a moment without writes, so that the WAL can start over


class Writer:
    """Writes entries in batches. Used from one event loop. `settled` hears of each request whose entry is safe."""

    def __init__(self, path: Path, durability: Durability, settled: Callable[[str], None]) -> None:
        self._path = path
        self._durability = durability
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, cached_statements=16)
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA foreign_keys=OFF")  # numbers come from the very tables that they refer to; checking costs 4 µs a row
        self._db.execute("PRAGMA wal_autocheckpoint=0")  # copies on the loop's time otherwise
        self._db.execute("PRAGMA cache_size=-16384")
        self._db.execute("PRAGMA trusted_schema=OFF")
        self._names = Names(self._db)
        self._next = int(self._db.execute("SELECT coalesce(max(entry), 0) + 1 FROM ledger").fetchone()[0])
        self._syncer = Syncer(path.with_name(path.name + "-wal"), self._loop) if durability == "full" else None
        self._waiting: list[Waiter] = []
        self._timer: asyncio.Handle | None = None
        self._syncing: list[Waiter] = []
        self._busy_since: float | None = None
        self._held = False
        self._written = 0  # entries since the last checkpoint
        self._broken: str | None = None  # why nothing can be written any more until a restart
        self._checkpoints = self._loop.create_task(self._checkpoint_often(), name="ollm.store.checkpoint")

    async def write(self, entry: Entry) -> None:
        """Return once the entry is as durable as configured. Raises: StoreError; the entry is then not acknowledged."""
        self.check()
        written = self._loop.create_future()
        self._waiting.append((entry, written))
        if self._timer is None and not self._syncing and not self._held:
            self._timer = self._loop.call_soon(self._gather, TURNS)
        await written

    def check(self) -> None:
        """Raises: StoreError when nothing can be written any more until a restart."""
        if self._broken is not None:
            raise StoreError(self._broken, _RESTART)

    async def close(self) -> None:
        """Write what waits, then let go of the database."""
        self._checkpoints.cancel()
        await asyncio.wait([self._checkpoints])
        self._held = False
        while self._waiting or self._syncing:
            if self._timer is None and not self._syncing:
                self._flush()
            await asyncio.wait([written for _, written in (self._syncing or self._waiting)])
        if self._syncer is not None:
            self._syncer.close()
        self._db.close()

    def _gather(self, turns: int) -> None:
        """Let others join for so many turns of the loop, then commit."""
        if turns and len(self._waiting) < ENOUGH:
            self._timer = self._loop.call_soon(self._gather, turns - 1)
        else:
            self._flush()

    def _flush(self) -> None:
        """Commit all that wait in one transaction. One step of the cycle drawn above."""
        self._timer = None
        if not self._waiting or self._syncing or self._held:
            return
        batch, self._waiting = self._waiting, []
        try:
            written = self._commit(batch)
        except sqlite3.Error as error:
            self._give_up(batch, error)
            return
        except Exception:
            self._break(batch, "the ledger met a mistake in its own code")  # nobody may be left waiting
            raise
        self._busy_since = None
        self._written += len(written)
        if self._syncer is None or not written:
            self._answer(written)
            return
        self._syncing = written
        self._syncer.ask(self._synced)

    def _commit(self, batch: list[Waiter]) -> list[Waiter]:
        """Those of `batch` that have a row now; the others are told why not. Raises: sqlite3.Error when none could be tried."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            try:
                self._insert_all(batch)
                written = batch
            except _UNFIT:
                self._roll_back()
                self._db.execute("BEGIN IMMEDIATE")
                written = self._insert_each(batch)
            self._db.execute("COMMIT")
        except Exception:
            self._roll_back()  # never keep the lock
            raise
        self._next += len(batch)
        return written

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # some errors, such as a full disk, have done it already
            self._db.execute("ROLLBACK")
        self._names.forget()

    def _insert_all(self, batch: Sequence[Waiter]) -> None:
        first = self._next
        rows = [row_of(number, entry, self._names) for number, (entry, _) in enumerate(batch, first)]
        if self._db.executemany(INSERT_ENTRY, rows).rowcount != len(rows):
            raise sqlite3.IntegrityError  # a request that has its row already: its receipt must not be stored either
        self._db.executemany(INSERT_RECEIPT, [(number, entry.receipt) for number, (entry, _) in enumerate(batch, first) if entry.receipt is not None])

    def _insert_each(self, batch: Sequence[Waiter]) -> list[Waiter]:
        """The way for a batch with a repeated request, or with a value that a column refuses: each entry stands for itself."""
        written = []
        for number, (entry, waiter) in enumerate(batch, self._next):
            self._db.execute("SAVEPOINT entry")
            try:
                stored = self._db.execute(INSERT_ENTRY, row_of(number, entry, self._names)).rowcount
                if stored and entry.receipt is not None:
                    self._db.execute(INSERT_RECEIPT, (number, entry.receipt))
                if stored or entry.status is Status.LOST or self._db.execute(_STANDING, (entry.request_id,)).fetchone() != _LOST:
                    written.append((entry, waiter))
                else:
                    self._settled(entry.request_id)
                    _refuse(waiter, taken_for_dead())
            except _UNFIT:
                self._db.execute("ROLLBACK TO entry")
                self._names.forget()
                _refuse(waiter, StoreError("storing the ledger entry failed: it holds a value that isn't one its column may hold"))
            self._db.execute("RELEASE entry")
        return written

    def _give_up(self, batch: list[Waiter], error: sqlite3.Error) -> None:
        """Try again for a while when another writer has the lock; otherwise tell everyone."""
        now = self._loop.time()
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            self._busy_since = now if self._busy_since is None else self._busy_since
            if now - self._busy_since < BUSY_MS / 1000:
                self._waiting = batch + self._waiting
                self._timer = self._loop.call_later(RETRY_SECONDS, self._flush)
                return
        self._busy_since = None
        for _, waiter in batch:
            _refuse(waiter, store_error(error, "storing the ledger entry"))
        self._go_on()

    def _synced(self, failure: OSError | None) -> None:
        batch, self._syncing = self._syncing, []
        if failure is not None or self._broken is not None:
            # The kernel may have dropped the pages it couldn't write, and a second fdatasync would claim success.
            self._break(batch, "the disk failed to keep the ledger")
            return
        self._answer(batch)

    def _answer(self, batch: list[Waiter]) -> None:
        for entry, waiter in batch:
            self._settled(entry.request_id)
            if not waiter.done():
                waiter.set_result(None)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and self._timer is None and not self._syncing and not self._held:
            self._timer = self._loop.call_soon(self._gather, TURNS)

    def _break(self, batch: list[Waiter], cause: str) -> None:
        self._broken = cause
        for _, waiter in batch + self._waiting:
            _refuse(waiter, StoreError(cause, _RESTART))
        self._waiting = []

    async def _checkpoint_often(self) -> None:
        """Copy the WAL into the database while there is something to copy. Never on the loop: it writes and waits for the disk."""
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            if self._syncer is not None and not self._syncer.is_current():
                self._break([], "the database's files were replaced under the running gateway")
                return
            if self._written == 0:
                continue
            self._written = 0
            pages = await asyncio.to_thread(_checkpoint, self._path)
            if pages > MAX_WAL_PAGES:
                # New frames came in behind the copying: let it finish once without, so that writing restarts at the front.
                self._held = True
                try:
                    await asyncio.to_thread(_checkpoint, self._path)
                finally:
                    self._held = False
                    self._go_on()


def _checkpoint(path: Path) -> int:
    """Copy what can be copied without making anyone wait. Returns the pages in the WAL."""
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return 0  # tried again in a second; a database that is really unusable says so when written
    return int(pages)


def taken_for_dead() -> StoreError:
    """For an entry whose request stands as lost already: that row stays, so neither this entry nor its receipt is anywhere."""
    cause = "somebody took this gateway for dead, and recorded the request as lost"
    return StoreError(cause, "look for what stalled this gateway, or give it a longer counters.lease_seconds")


def _refuse(waiter: asyncio.Future[None], error: StoreError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
