"""ports.Ledger over the intents journal, the writer and the database."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine, select
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.database import store_error
from ollm.store.journal import Journal
from ollm.store.rows import entry_of, lost
from ollm.store.schema import ledger_text
from ollm.values.ledger import Entry, Intent

_WITHOUT_RECEIPT = [column for column in ledger_text.columns if column.name != "receipt"]


class EntryWriter(Protocol):
    """`write` returns once the entry is as durable as configured. `check` raises when no request may begin. Both raise StoreError."""

    async def write(self, entry: Entry) -> None: ...

    def check(self) -> None: ...

    async def close(self) -> None: ...


WriterOf = Callable[[Callable[[str], None]], EntryWriter]  # told who hears of each request whose entry is safe


class SqlLedger:
    """The ledger. Opened without `start`, as administration does, it can only be read."""

    def __init__(self, engine: Engine, installation_id: str, intents: Path, writer: WriterOf) -> None:
        self._engine = engine
        self._installation_id = installation_id
        self._intents = intents
        self._writer_of = writer
        self._journal: Journal | None = None
        self._writer: EntryWriter | None = None

    async def start(self) -> None:
        """Begin to write: first, every intent that has no entry becomes a LOST one. Raises: StoreError."""
        journal = Journal(self._intents, self._installation_id)
        writer = self._writer_of(journal.settle)
        try:
            await _write_lost(writer, journal)
        except StoreError:
            await writer.close()
            journal.close()
            raise
        self._journal, self._writer = journal, writer

    async def adopt(self, intents: Path) -> None:
        """Settle what another process left behind in its journal, once it is gone: the caller holds its lock. Raises: StoreError."""
        if self._writer is None:
            raise _not_writing()
        journal = Journal(intents, self._installation_id)
        try:
            await _write_lost(self._writer, journal)
        finally:
            journal.close()

    async def close(self) -> None:
        if self._writer is not None and self._journal is not None:
            await self._writer.close()
            self._journal.close()
            self._writer = self._journal = None

    async def intend(self, intent: Intent) -> None:
        if self._journal is None or self._writer is None:
            raise _not_writing()
        self._writer.check()
        self._journal.add(intent)

    async def complete(self, entry: Entry) -> None:
        if self._writer is None:
            raise _not_writing()
        await self._writer.write(entry)

    @property
    def under_way(self) -> int:
        """Requests with an intent and no entry yet."""
        return 0 if self._journal is None else self._journal.under_way

    async def find(self, request_id: str) -> Entry | None:
        """The entry of this request with its sealed receipt. Raises: StoreError."""
        return await asyncio.to_thread(self._find, request_id)

    async def recent(self, limit: int, key_id: str | None = None) -> list[Entry]:
        """The last `limit` entries, newest first, without their receipts. Raises: StoreError."""
        return await asyncio.to_thread(self._recent, limit, key_id)

    def _find(self, request_id: str) -> Entry | None:
        query = select(ledger_text).where(ledger_text.c.request_id == request_id)
        try:
            with self._engine.begin() as connection:
                row = connection.execute(query).mappings().one_or_none()
        except DatabaseError as error:
            raise store_error(error, "reading the ledger") from None
        return None if row is None else entry_of(row, row["receipt"])

    def _recent(self, limit: int, key_id: str | None) -> list[Entry]:
        query = select(*_WITHOUT_RECEIPT).order_by(ledger_text.c.entry.desc()).limit(limit)
        if key_id is not None:
            query = query.where(ledger_text.c.key_id == key_id)
        try:
            with self._engine.begin() as connection:
                return [entry_of(row, None) for row in connection.execute(query).mappings()]
        except DatabaseError as error:
            raise store_error(error, "reading the ledger") from None


async def _write_lost(writer: EntryWriter, journal: Journal) -> None:
    if journal.found:
        await asyncio.gather(*(writer.write(lost(intent)) for intent in journal.found))
    journal.clear()


def _not_writing() -> StoreError:
    return StoreError("the store isn't open for serving", "open it with role gateway, and start it")
