"""The ledger's writer on PostgreSQL: group commit over one connection, patient while the server is away.

    complete() ─► waiting ─► one statement, which is one transaction, for all that wait ─► answered
                  ▲                                                            │
                  └───────── the next batch gathers while the server commits ◄─┘

With durability "full" the server answers when its log is on the disk (synchronous_commit); with "process" before that: what is
answered then survives the death of this process, and not a crash of the server.

A statement whose connection is lost may have been committed or not. It is sent again: a request that has its row adds nothing. Entries
wait for the server up to WAIT_SECONDS and up to MAX_WAITING of them; then they are refused, and no new request is taken, until it is
back. Several processes may write: each request is one process's own. A process that was stalled for longer than its lease may find that
another one took it for dead and recorded a request of its as lost: that row stands, and what came is refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import psycopg

from ollm.errors import StoreError
from ollm.store.batch import FIND_LOST, STATEMENT, UNFIT, Judged, Name, ids, judge, names_in, parameters
from ollm.store.database import store_error
from ollm.store.place import Server
from ollm.store.postgres import Connection, connect_alone, cut
from ollm.store.writer import Durability, taken_for_dead
from ollm.values.ledger import Entry

WAIT_SECONDS = 30.0  # how long an entry waits for a server that is away: longer than a restart or a failover takes
MAX_WAITING = 20_000  # entries; some 50 MB with their receipts
MAX_BATCH = 512  # entries of one statement
MAX_BATCH_BYTES = 4 * 1024 * 1024  # of their receipts
ANSWER_SECONDS = 15.0  # for one batch; then the connection counts as lost
FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0  # seconds between attempts to connect

_AWAY = "the database can't be reached"
_MEND = "look at the server; the gateway goes on by itself when it is back"
_FIND = "SELECT number FROM names WHERE kind = %s AND name = %s"
_ADD = "INSERT INTO names (kind, name) VALUES (%s, %s) ON CONFLICT (kind, name) DO NOTHING"


class _Waiter(NamedTuple):
    entry: Judged
    done: asyncio.Future[None]
    since: float


class ServerWriter:
    """Writes entries in batches. Used from one event loop. `settled` hears of each request whose entry is safe."""

    def __init__(self, server: Server, durability: Durability, settled: Callable[[str], None]) -> None:
        self._server = server
        self._commit = "on" if durability == "full" else "off"
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiter] = []
        self._under_way = 0  # entries of the batch that is being written
        self._work = asyncio.Event()
        self._connection: Connection | None = None
        self._numbers: dict[Name, int] = {}
        self._away_since: float | None = None
        self._closing = False
        self._task = self._loop.create_task(self._run(), name="ollm.store.writer")

    async def write(self, entry: Entry) -> None:
        """Return once the entry is as durable as configured. Raises: StoreError; the entry is then not acknowledged."""
        judged = judge(entry)
        self.check()
        waiter = _Waiter(judged, self._loop.create_future(), self._loop.time())
        self._waiting.append(waiter)
        self._work.set()
        await waiter.done

    def check(self) -> None:
        """Raises: StoreError when the server is away for too long, or too much waits for it."""
        if self._closing:
            raise StoreError("the store is closed")
        away = self._away_since is not None and self._loop.time() - self._away_since > WAIT_SECONDS
        if away or len(self._waiting) + self._under_way >= MAX_WAITING:
            raise StoreError(_AWAY, _MEND)

    async def close(self) -> None:
        """Write what waits, as long as the server takes it; then let go of the connection."""
        self._closing = True
        self._work.set()
        await asyncio.wait([self._task])
        await self._disconnect()

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            if self._away_since is None or self._closing:  # while the server is away, knock also when nothing waits
                await self._work.wait()
            batch = self._next_batch()
            if not batch and self._closing:
                return
            self._work.clear()
            try:
                await self._store(batch)
                pause, self._away_since = FIRST_PAUSE, None
            except (psycopg.Error, TimeoutError) as error:
                self._put_back(batch, error)
                await self._disconnect()
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE)
            except Exception:
                self._refuse(batch, StoreError("the ledger met a mistake in its own code"))  # nobody may be left waiting
                raise
            finally:
                self._under_way = 0
            if self._waiting or self._closing:
                self._work.set()

    def _next_batch(self) -> list[_Waiter]:
        batch: list[_Waiter] = []
        size = 0
        for waiter in self._waiting[:MAX_BATCH]:
            size += len(waiter.entry.receipt or b"")
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(waiter)
        del self._waiting[: len(batch)]
        self._under_way = len(batch)
        return batch

    def _put_back(self, batch: list[_Waiter], error: Exception) -> None:
        """Those of the batch that may wait on do so, in front; the others are refused."""
        now = self._loop.time()
        if self._away_since is None:
            self._away_since = now
        waiting = [waiter for waiter in batch if not waiter.done.done() or waiter.done.cancelled()] + self._waiting
        over = [waiter for waiter in waiting if now - waiter.since > WAIT_SECONDS]
        self._waiting = [waiter for waiter in waiting if now - waiter.since <= WAIT_SECONDS]
        problem = store_error(error, "storing the ledger entry") if isinstance(error, psycopg.Error) and error.sqlstate else StoreError(_AWAY, _MEND)
        self._refuse(over, problem)

    async def _store(self, batch: list[_Waiter]) -> None:
        """Write the batch and answer. Raises: psycopg.Error, TimeoutError when the server couldn't take it now."""
        connection = await self._connected()
        if not batch:
            return
        timer = self._loop.call_later(ANSWER_SECONDS, cut, connection)
        try:
            once = list({waiter.entry.request_id: waiter.entry for waiter in reversed(batch)}.values())[::-1]  # of one request, the first
            await self._number(connection, names_in(once))
            lost = await self._insert(connection, once)
        except (psycopg.IntegrityError, psycopg.DataError):
            # Judged fit, and yet refused: each stands for itself, so that none takes others along.
            await self._store_each(connection, batch)
            return
        finally:
            timer.cancel()
        self._answer(batch, lost)

    async def _insert(self, connection: Connection, batch: Sequence[Judged]) -> set[str]:
        """Write rows for `batch`. Returns those of its requests that are recorded as lost already, and so have no row and no receipt of theirs."""
        done = await connection.execute(STATEMENT, parameters(batch, self._numbers))
        ended = [each.request_id for each in batch if not each.lost]
        if done.rowcount == len(ended):  # of receipts: each has its own, and where one has none, its row is looked for
            return set()
        return {str(row[0]) for row in await (await connection.execute(FIND_LOST, (ids(ended),))).fetchall()}

    async def _store_each(self, connection: Connection, batch: list[_Waiter]) -> None:
        self._numbers.clear()
        for waiter in batch:
            timer = self._loop.call_later(ANSWER_SECONDS, cut, connection)
            try:
                await self._number(connection, names_in([waiter.entry]))
                self._answer([waiter], await self._insert(connection, [waiter.entry]))
            except (psycopg.IntegrityError, psycopg.DataError):
                self._refuse([waiter], StoreError(UNFIT))
            finally:
                timer.cancel()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._connection = await connect_alone(self._server, synchronous_commit=self._commit, jit="off")
        return self._connection

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _number(self, connection: Connection, names: Iterable[Name]) -> None:
        """Numbers for names that have none here yet. They are committed before any entry refers to them."""
        for name in sorted(name for name in names if name not in self._numbers):  # in one order: two gateways don't wait for each other
            row = await (await connection.execute(_FIND, name)).fetchone()
            if row is None:
                await connection.execute(_ADD, name)
                row = await (await connection.execute(_FIND, name)).fetchone()
            if row is None:
                raise psycopg.OperationalError
            self._numbers[name] = int(str(row[0]))

    def _answer(self, batch: Sequence[_Waiter], lost: set[str]) -> None:
        for waiter in batch:
            self._settled(waiter.entry.request_id)
            if waiter.entry.request_id in lost and not waiter.entry.lost:
                self._refuse([waiter], taken_for_dead())
            elif not waiter.done.done():
                waiter.done.set_result(None)

    @staticmethod
    def _refuse(batch: Sequence[_Waiter], error: StoreError) -> None:
        for waiter in batch:
            if not waiter.done.done():
                waiter.done.set_exception(error)
