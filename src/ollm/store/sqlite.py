"""An open store: the embedded one, an SQLite database with its side files, or one on a PostgreSQL server with side files in a folder.

ollm.db              keys, ledger, receipts, sessions (and SQLite's -wal and -shm)
ollm.db-intents      requests under way (see journal.py)
ollm.db-gateway      locked by the one process that writes the ledger
ollm.db-open         locked for a moment by whoever opens the database

On PostgreSQL there is no ollm.db, and several processes may write the ledger: each has a slot, and files of its own, ollm.db-intents-0 and
ollm.db-gateway-0. What a process leaves behind is settled by the next one that starts in its slot, or in any other while that one is free.
All files are readable by their owner only.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from ollm.errors import StoreError
from ollm.store.administration import Administration
from ollm.store.database import connect, store_error
from ollm.store.files import RoleLock, private_file, sync_directory, turn
from ollm.store.keyring import FileWatch, SqlKeys, Watch
from ollm.store.ledger import SqlLedger, WriterOf
from ollm.store.migrate import prepare
from ollm.store.partitions import make_ahead, require_fsync
from ollm.store.place import Place, Server, place_of
from ollm.store.reports import Reports
from ollm.store.sessions import SqlSessions
from ollm.store.writer import Durability, Writer

Role = Literal["gateway", "admin"]
MIN_ROW_KEY = 32  # bytes
BASE = "ollm.db"  # what names of files begin with
_SLOT_TRIES, _SLOT_SECONDS = 50, 0.02


class Store:
    """An open store. `start` it within the event loop that will use it, and `close` it there."""

    def __init__(self, engine: Engine, parts: "_Parts", installation_id: str, row_key: bytes, lock: RoleLock | None) -> None:
        self.engine = engine
        self._parts = parts
        self._lock = lock
        self.installation_id = installation_id
        self.ledger = SqlLedger(engine, installation_id, parts.intents, parts.writer)
        self.keys = SqlKeys(engine, parts.watch, row_key)
        self.sessions = SqlSessions(engine)
        self.administration = Administration(engine, row_key)
        self.reports = Reports(engine)

    async def start(self) -> None:
        """Load the keys; as gateway, also settle what the last one left behind and begin to write. Raises: StoreError."""
        await self.keys.start()
        if self._lock is not None:
            await self.ledger.start()
            for intents, lock in self._parts.left_behind():
                try:
                    await self.ledger.adopt(intents)
                finally:
                    lock.release()

    async def close(self) -> None:
        """Write what waits and let go of everything. Safe to call without `start`."""
        await self.keys.close()
        await self.ledger.close()
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def __aenter__(self) -> "Store":
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class _Parts:
    """What a store has of its kind of database: `base` is the file, or what its side files' names begin with."""

    def __init__(self, base: Path, suffix: str, watch: Watch, writer: WriterOf) -> None:
        self._base = base
        self.watch = watch
        self.writer = writer
        self.intents = _beside(base, f"intents{suffix}")
        self.gateway = _beside(base, f"gateway{suffix}")

    def left_behind(self) -> Iterator[tuple[Path, RoleLock]]:
        """Journals of slots that nobody holds now, each with its lock."""
        for intents in sorted(self._base.parent.glob(f"{self._base.name}-intents-[0-9]*")):
            slot = intents.name.rpartition("-")[2]
            if intents == self.intents or not slot.isdigit():
                continue
            try:
                lock = RoleLock(_beside(self._base, f"gateway-{slot}"))
            except StoreError:
                continue  # its process lives
            yield intents, lock


def open_store(
    url: str | Place,
    *,
    row_key: bytes,
    durability: Durability = "full",
    role: Role = "gateway",
    installation_id: str | None = None,
    folder: Path | None = None,
    slot: int = 0,
) -> Store:
    """Open the database that `url` (or a place) names, making or migrating it as needed.

    `row_key` (32 bytes or more) authenticates rows of keys and is this installation's. `role`: gateways write the ledger, on SQLite one, on
    PostgreSQL one in each `slot` of a machine; any number of admins change keys and read, also while they run. `folder` is where a gateway
    on PostgreSQL keeps its journal. With `installation_id`, no other is opened. Raises: StoreError, with cause and mend.
    """
    if len(row_key) < MIN_ROW_KEY:
        raise StoreError(f"the row key has fewer than {MIN_ROW_KEY} bytes", "make one of 32 random bytes")
    place = place_of(url) if isinstance(url, str) else url
    if isinstance(place, Server):
        if role == "admin":
            return _open_server(place, row_key, durability, installation_id, None, slot)
        if folder is None:
            raise StoreError("a gateway on PostgreSQL has no folder for its journal", "name one")
        return _open_server(place, row_key, durability, installation_id, folder / BASE, slot)
    with turn(_beside(place, "open")):
        lock = RoleLock(_beside(place, "gateway")) if role == "gateway" else None
        try:
            private_file(place)
            engine = connect(place)
            try:
                found = prepare(engine, row_key, expected=installation_id)
                sync_directory(place.parent)
                parts = _Parts(place, "", FileWatch(place), lambda settled: Writer(place, durability, settled))
                return Store(engine, parts, found, row_key, lock)
            except BaseException:
                engine.dispose()
                raise
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, DatabaseError):
                raise store_error(error, "opening the database") from None
            raise


def _open_server(server: Server, row_key: bytes, durability: Durability, expected: str | None, base: Path | None, slot: int) -> Store:
    """A store on `server`; with `base`, for the gateway of this slot."""
    try:
        from ollm.store.postgres import GenerationWatch, connect_server  # its driver is an extra
        from ollm.store.server_writer import ServerWriter
    except ImportError:
        raise StoreError("the store is on PostgreSQL, and its driver isn't installed", "pip install 'ollm[postgres]'") from None
    lock = None if base is None else _slot(base, slot)
    engine = connect_server(server)
    try:
        found = prepare(engine, row_key, expected=expected)
        make_ahead(engine)
        if base is not None and durability == "full":
            require_fsync(engine)
        parts = _Parts(base or Path(BASE), f"-{slot}", GenerationWatch(server), lambda settled: ServerWriter(server, durability, settled))
        return Store(engine, parts, found, row_key, lock)
    except BaseException as error:
        engine.dispose()
        if lock is not None:
            lock.release()
        if isinstance(error, DatabaseError):
            raise store_error(error, "opening the database") from None
        raise


def _slot(base: Path, slot: int) -> RoleLock:
    """The lock of a slot. Another process may hold it for a moment, to settle what was left behind there. Raises: StoreError."""
    for _ in range(_SLOT_TRIES):
        try:
            return RoleLock(_beside(base, f"gateway-{slot}"))
        except StoreError:
            time.sleep(_SLOT_SECONDS)
    return RoleLock(_beside(base, f"gateway-{slot}"))


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}-{name}")
