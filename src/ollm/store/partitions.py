"""Days of the ledger and the receipts on PostgreSQL: made ahead, dropped when they are over.

A request's id begins with its time, so that a day is a range of ids, compared byte for byte (COLLATE "C"). A day is made as a table of its
own and then attached, which keeps nobody from writing; what has no day (a clock that was far off) goes to the default partition.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.database import store_error, take_turn

TABLES = ("ledger", "receipts")
DAY_MS = 86_400_000
AHEAD = 3  # days after today: a gateway that nobody looks after for a long weekend still has them
_LOCK_MS = 3000  # a day can't be made or dropped while a long report reads; then it is tried again later
_NAME = re.compile(r"(?:ledger|receipts)_([0-9]+)")
_LISTED = """SELECT part.relname FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
WHERE inhparent = CAST(:parent AS regclass) ORDER BY part.relname"""


class Day(NamedTuple):
    """A partition. `number` counts days since 1970-01-01, UTC."""

    table: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.table}_{self.number}"

    @property
    def bounds(self) -> tuple[str, str]:
        """The ids from the first, inclusive, to the second, exclusive."""
        return first_id(self.number * DAY_MS), first_id((self.number + 1) * DAY_MS)


def first_id(ms: int) -> str:
    """What every id of a request that began at `ms` (Unix milliseconds) or later is not less than."""
    return f"{ms:012x}"


def server_ms(connection: Connection) -> int:
    """The server's clock, Unix milliseconds: days are made by one clock, whoever makes them."""
    return int(connection.execute(text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")).scalar_one())


def days_of(connection: Connection, table: str) -> list[Day]:
    """The days that there are, oldest first."""
    found = (_NAME.fullmatch(name) for name in connection.execute(text(_LISTED), {"parent": table}).scalars())
    return sorted(Day(table, int(match[1])) for match in found if match)


def make_ahead(engine: Engine, *, now_ms: int | None = None, ahead: int = AHEAD) -> list[Day]:
    """Make the days from yesterday to `ahead` days after today that are missing, and return them. Raises: StoreError."""
    try:
        with engine.begin() as connection:
            take_turn(connection, "partitions")
            today = (server_ms(connection) if now_ms is None else now_ms) // DAY_MS
            wanted = [Day(table, day) for table in TABLES for day in range(today - 1, today + ahead + 1)]
            there = {day for table in TABLES for day in days_of(connection, table)}
            missing = [day for day in wanted if day not in there and not _strays(connection, day)]
            connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MS}"))
            for day in missing:
                _make(connection, day)
            return missing
    except DatabaseError as error:
        raise store_error(error, "making the ledger's days") from None


def make_days(connection: Connection, request_ids: Iterable[str]) -> None:
    """The days that rows of these requests belong to, for rows that come from elsewhere."""
    numbers = {int(request_id[:12], 16) // DAY_MS for request_id in request_ids}
    there = {day for table in TABLES for day in days_of(connection, table)}
    for day in (Day(table, number) for table in TABLES for number in sorted(numbers)):
        if day not in there and not _strays(connection, day):
            _make(connection, day)


def _strays(connection: Connection, day: Day) -> bool:
    """Whether the default partition holds rows of this day: they stay there, and so do all others of it."""
    first, end = day.bounds
    query = text(f"SELECT EXISTS (SELECT FROM {day.table}_other WHERE request_id >= :first AND request_id < :end)")  # noqa: S608 - a name of ours
    return bool(connection.execute(query, {"first": first, "end": end}).scalar_one())


def _make(connection: Connection, day: Day) -> None:
    first, end = day.bounds
    connection.execute(text(f"CREATE TABLE {day.name} (LIKE {day.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"))
    connection.execute(text(f"ALTER TABLE {day.table} ATTACH PARTITION {day.name} FOR VALUES FROM ('{first}') TO ('{end}')"))


def drop_before(engine: Engine, table: str, before_ms: int) -> int:
    """Drop the days of `table` that end by `before_ms`; of the ledger, those alone that are in the roll-ups. Returns how many.

    Raises: StoreError.
    """
    dropped = 0
    try:
        with engine.begin() as connection:
            over = [day for day in days_of(connection, table) if (day.number + 1) * DAY_MS <= before_ms]
        for day in over:
            with engine.begin() as connection:
                take_turn(connection, "partitions")
                if table == "ledger" and not _is_rolled(connection, day):
                    break
                connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MS}"))
                connection.execute(text(f"DROP TABLE IF EXISTS {day.name}"))
                dropped += 1
    except DatabaseError as error:
        raise store_error(error, "dropping days that are over") from None
    return dropped


def _is_rolled(connection: Connection, day: Day) -> bool:
    there = connection.execute(text("SELECT to_regclass(:name)"), {"name": day.name}).scalar_one()
    if there is None:
        return True
    query = text(f"SELECT coalesce(max(entry), 0) <= (SELECT entry FROM rolled) FROM {day.name}")  # noqa: S608 - a name of ours
    return bool(connection.execute(query).scalar_one())


def require_fsync(engine: Engine) -> None:
    """Durability "full" is a promise that a server without fsync doesn't keep. Raises: StoreError."""
    try:
        with engine.begin() as connection:
            if connection.execute(text("SHOW fsync")).scalar_one() != "on":
                raise StoreError("gateway.durability is full, and the server runs with fsync off", "turn fsync on, or set durability to process")
    except DatabaseError as error:
        raise store_error(error, "asking the server") from None
