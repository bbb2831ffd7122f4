"""The door for administrators: each piece of work is one transaction, with its events in the audit log, on a thread.

text, row = await store.administration.write(actor, now, lambda changes: create_key(changes, new, pepper))
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from ollm.receipts.audit import Head, Logged
from ollm.store import audit
from ollm.store.audit import EventFilter
from ollm.store.changes import Changes, View
from ollm.store.database import store_error, writing

T = TypeVar("T")


class _NotKept(Exception):
    """Carries a result out of a transaction that is rolled back."""


class Administration:
    """What the control plane and the command line do with the store. `rejected` names rows that were met and aren't authentic."""

    def __init__(self, engine: Engine, row_key: bytes) -> None:
        self._engine = engine
        self._row_key = row_key
        self.rejected: frozenset[str] = frozenset()

    async def read(self, work: Callable[[View], T]) -> T:
        """What `work` makes of the store as it is now. Raises: StoreError, and what `work` raises."""
        return await asyncio.to_thread(self._read, work)

    async def write(self, actor: str, now: int, work: Callable[[Changes], T], *, keep: bool = True) -> T:
        """What `work` changes, all of it or nothing; `actor` stands in the log (a key's id, or `changes.local_actor()`).

        `keep` False: it is done and taken back, to see what it would do. Raises: StoreError, and what `work` raises.
        """
        return await asyncio.to_thread(self._write, actor, now, work, keep)

    async def events(self, wanted: EventFilter, limit: int) -> list[Logged]:
        """At most `limit` events of the audit log. Raises: StoreError; EvidenceRefused for a row that is no event."""
        return await self.read(lambda view: audit.events(view.connection, wanted, limit))

    async def log(self) -> AsyncIterator[Logged]:
        """Every event, oldest first, a page in memory at a time. Raises: StoreError; EvidenceRefused for a row that is no event."""
        after = None
        while page := await self.events(EventFilter(after=after), audit.PAGE):
            for entry in page:
                yield entry
            after = page[-1].event.entry

    async def head(self) -> Head:
        """The last event of the audit log. Raises: StoreError."""
        return await self.read(lambda view: audit.head(view.connection))

    def _read(self, work: Callable[[View], T]) -> T:
        try:
            with self._engine.begin() as connection:
                view = View(connection, self._row_key)
                try:
                    return work(view)
                finally:
                    self.rejected |= frozenset(view.rejected)
        except DatabaseError as error:
            raise store_error(error, "reading the store") from None

    def _write(self, actor: str, now: int, work: Callable[[Changes], T], keep: bool) -> T:
        result: list[T] = []
        try:
            with writing(self._engine).begin() as connection:
                changes = Changes(connection, self._row_key, actor, now)
                result.append(work(changes))
                self.rejected |= frozenset(changes.rejected)
                if not keep:
                    raise _NotKept
        except _NotKept:
            pass
        except DatabaseError as error:
            raise store_error(error, "changing the store") from None
        return result[0]
