"""Roll-ups: sums over requests by hour and by day, made from the ledger beside the way of requests, each entry exactly once.

`rolled.entry` is the number up to which entries are in the sums. It moves in the transaction that adds the sums, from where it was read:
of two who work at once, one finds it moved and adds nothing; who dies in between has added nothing.

That needs to know that no entry with a smaller number comes later. On SQLite one process writes, and numbers are in the order of commits.
On PostgreSQL a number is drawn before its transaction commits, by several processes. Therefore a batch ends at a number H only once
nothing that drew a number up to H is under way any more: H is read; then a transaction id Y is drawn. Whoever drew a number up to H had
an id of its own before (the column's default sees to that), and that id is smaller than Y. Once the oldest id in progress is Y or more, all
of them have ended, and what they wrote is seen. Nobody waits for that, and the next run looks again. (Storing ids beside the entries
would do as well, until a dump is restored on another server, where ids begin anew.)
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, case, func, literal, select, text, update
from sqlalchemy.exc import DatabaseError

from ollm.store.database import inserting, is_postgresql, store_error, writing
from ollm.store.schema import WIDTHS, key_uses, ledger, rolled, rollups
from ollm.store.sums import added, figures, labels, start_of

# Entries of one transaction. On SQLite nothing else is written meanwhile, so it is short (some 10 ms); on PostgreSQL nobody waits for it.
BATCH_ON_SQLITE, BATCH_ON_POSTGRESQL = 500, 20_000


class Barrier(NamedTuple):
    """Entries up to `entry` are whole once no transaction with an id below `transaction` is under way."""

    entry: int
    transaction: int


class Roller:
    """Adds entries to the roll-ups, batch by batch. Used from one thread at a time; any number of processes may have one."""

    def __init__(self, engine: Engine, *, batch: int | None = None) -> None:
        self._engine = engine
        self._batch = batch or (BATCH_ON_POSTGRESQL if is_postgresql(engine) else BATCH_ON_SQLITE)
        self._barrier: Barrier | None = None

    def run(self, *, batches: int = 1000) -> int:
        """Add what is whole, up to so many batches. Returns how many entries were added. Raises: StoreError."""
        done = 0
        try:
            for _ in range(batches):
                count = self._step()
                done += count
                if not count:
                    break
        except DatabaseError as error:
            raise store_error(error, "rolling up the ledger") from None
        return done

    def _step(self) -> int:
        with self._engine.begin() as connection:
            done = _rolled(connection)
            whole = self._whole(connection, done)
            if whole <= done:
                return 0
            end = _end(connection, done, whole, self._batch)
        with writing(self._engine).begin() as connection:
            if not _move(connection, done, end):
                return 0  # another process has added them
            for width in WIDTHS:
                _add(connection, width, done, end)
            _use(connection, done, end)
            return int(connection.execute(select(func.count()).select_from(ledger).where(*_between(done, end))).scalar_one())

    def _whole(self, connection: Connection, done: int) -> int:
        """The number up to which no entry comes any more."""
        if not is_postgresql(connection):
            return int(connection.execute(select(func.coalesce(func.max(ledger.c.entry), 0))).scalar_one())
        if self._barrier is None or self._barrier.entry <= done:
            self._barrier = _barrier(connection)
        oldest = int(connection.execute(text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")).scalar_one())
        if self._barrier.transaction > oldest:
            return done
        return self._barrier.entry


def _barrier(connection: Connection) -> Barrier:
    # Two statements, in this order: the number first, the transaction's own id after it.
    entry = connection.execute(text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ledger_entry")).scalar_one()
    transaction = connection.execute(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")).scalar_one()
    return Barrier(int(entry), int(transaction))


def _rolled(connection: Connection) -> int:
    return int(connection.execute(select(rolled.c.entry)).scalar_one())


def _end(connection: Connection, done: int, whole: int, batch: int) -> int:
    """The number that a batch of so many entries after `done` ends at."""
    query = select(ledger.c.entry).where(ledger.c.entry > done, ledger.c.entry <= whole).order_by(ledger.c.entry).offset(batch - 1).limit(1)
    return int(connection.execute(query).scalar() or whole)


def _between(done: int, end: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ledger.c.entry > done, ledger.c.entry <= end


def _move(connection: Connection, done: int, end: int) -> bool:
    """Whether what is rolled up still ended at `done`; it ends at `end` from now on."""
    moved = connection.execute(update(rolled).where(rolled.c.entry == done).values(entry=end))
    return moved.rowcount == 1


def _add(connection: Connection, width: int, done: int, end: int) -> None:
    """Add the entries' sums, within the database: nothing of them passes through this process."""
    start, named = start_of(width), labels()
    columns = {"width": literal(width), "start": start} | named | figures()
    sums = select(*(column.label(name) for name, column in columns.items())).where(*_between(done, end)).group_by(start, *named.values())
    adding = inserting(connection, rollups).from_select(list(columns), sums)
    connection.execute(adding.on_conflict_do_update(index_elements=list(rollups.primary_key.columns), set_=added(adding.excluded)))


def _use(connection: Connection, done: int, end: int) -> None:
    last = select(ledger.c.key, func.max(ledger.c.started_ms)).where(*_between(done, end)).group_by(ledger.c.key)
    using = inserting(connection, key_uses).from_select(["key", "last_ms"], last)
    later = case((using.excluded.last_ms > key_uses.c.last_ms, using.excluded.last_ms), else_=key_uses.c.last_ms)
    connection.execute(using.on_conflict_do_update(index_elements=[key_uses.c.key], set_={"last_ms": later}))
