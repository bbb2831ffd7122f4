"""The embedded store: an SQLite database with its side files, all readable by their owner only.

ollm.db              keys, ledger, receipts, sessions (and SQLite's -wal and -shm)
ollm.db-intents      requests under way (see journal.py)
ollm.db-gateway      locked by the one process that writes the ledger
ollm.db-open         locked for a moment by whoever opens the database
"""

from pathlib import Path
from typing import Literal

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.administration import Administration
from ollm.store.database import connect, database_path, store_error
from ollm.store.files import RoleLock, private_file, sync_directory, turn
from ollm.store.keyring import SqlKeys
from ollm.store.ledger import SqlLedger
from ollm.store.ledger_sums import SqlSums
from ollm.store.migrate import prepare
from ollm.store.sessions import SqlSessions
from ollm.store.writer import Durability

Role = Literal["gateway", "admin"]
MIN_ROW_KEY = 32  # bytes


class Store:
    """An open store. `start` it within the event loop that will use it, and `close` it there."""

    def __init__(self, engine: Engine, path: Path, installation_id: str, row_key: bytes, durability: Durability, lock: RoleLock | None) -> None:
        self._engine = engine
        self._lock = lock
        self.installation_id = installation_id
        self.ledger = SqlLedger(engine, path, installation_id, durability)
        self.keys = SqlKeys(engine, path, row_key)
        self.sessions = SqlSessions(engine)
        self.administration = Administration(engine, row_key)
        self.sums = SqlSums(engine)

    async def start(self) -> None:
        """Load the keys; as gateway, also settle what the last one left behind and begin to write. Raises: StoreError."""
        await self.keys.start()
        if self._lock is not None:
            await self.ledger.start()

    async def close(self) -> None:
        """Write what waits and let go of everything. Safe to call without `start`."""
        await self.keys.close()
        await self.ledger.close()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def __aenter__(self) -> "Store":
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def open_store(url: str, *, row_key: bytes, durability: Durability = "full", role: Role = "gateway", installation_id: str | None = None) -> Store:
    """Open the database that `url` (sqlite:////path) names, making or migrating it as needed.

    `row_key` (32 bytes or more) authenticates rows of keys and is this installation's. `role`: one gateway writes the
    ledger; any number of admins change keys and read, also while it runs. With `installation_id`, no other is opened.
    Raises: StoreError, with cause and mend.
    """
    if len(row_key) < MIN_ROW_KEY:
        raise StoreError(f"the row key has fewer than {MIN_ROW_KEY} bytes", "make one of 32 random bytes")
    path = database_path(url)
    with turn(_beside(path, "open")):
        lock = RoleLock(_beside(path, "gateway")) if role == "gateway" else None
        try:
            private_file(path)
            engine = connect(path)
            try:
                found = prepare(engine, row_key, expected=installation_id)
                sync_directory(path.parent)
                return Store(engine, path, found, row_key, durability, lock)
            except BaseException:
                engine.dispose()
                raise
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, DatabaseError):
                raise store_error(error, "opening the database") from None
            raise


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}-{name}")
