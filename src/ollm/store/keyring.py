"""Keys in the database, and their copy in memory that requests are authenticated against."""

import asyncio
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError

from ollm.errors import NoSuchSubject, StoreError
from ollm.store.changes import Changes, local_actor
from ollm.store.database import store_error, writing
from ollm.store.keys import RANDOM_BYTES, NewKey, mint_key
from ollm.store.subjects import TABLES, Subject, is_authentic, subject_of
from ollm.values.identity import Organisation, Project, Role, ServiceAccount, User
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.standing import Credential, Place, Standing, standing_of

POLL_SECONDS = 0.5  # a key that another process revokes stops within a second (design §3)
ANSWER_SECONDS = 0.5  # for one poll


class Watch(Protocol):
    """Reads the counter of changes, within so many seconds. Raises: StoreError.

    So many `misses` in a row, and nothing is admitted any more: what can't be checked isn't trusted.
    """

    misses: int

    async def generation(self, seconds: float) -> int: ...

    async def close(self) -> None: ...


class FileWatch:
    """The counter in an SQLite database, on a connection of its own, used on the event loop: reading a row of a WAL database waits for nobody."""

    misses = 10

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)

    async def generation(self, seconds: float) -> int:
        try:
            (generation,) = self._connection.execute("SELECT key_generation FROM installation").fetchone()
        except (sqlite3.Error, TypeError):
            raise StoreError("reading the counter of changes failed") from None
        return int(generation)

    async def close(self) -> None:
        self._connection.close()


class SqlKeys:
    """ports.Keys, and the administration of keys. Rows that aren't authentic are absent and listed in `rejected`."""

    def __init__(self, engine: Engine, watch: Watch, row_key: bytes) -> None:
        self._engine = engine
        self._row_key = row_key
        self._credentials: Mapping[str, Credential] = {}
        self._generation = -1
        self._misses = 0
        self._readings: set[asyncio.Future[tuple[int, _Rows]]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._watch = watch
        self._projects: Mapping[str, tuple[str, ...]] = {}
        self._places: Mapping[str, Place] = {}
        self.rejected: tuple[str, ...] = ()

    def lookup(self, key_id: str) -> Credential | None:
        return self._credentials.get(key_id)

    @property
    def blind(self) -> bool:
        """Whether the database could not be read for so long that nobody is admitted."""
        return self._misses >= self._watch.misses

    def projects_of(self, org_id: str) -> tuple[str, ...]:
        """The projects of an organisation, archived ones too."""
        return self._projects.get(org_id, ())

    def place(self, project_id: str) -> Place | None:
        """A project and what stands above its callers; None where it, or its organisation, is archived or was never there."""
        return self._places.get(project_id)

    async def start(self) -> None:
        """Read all rows, then watch for changes by other processes. Raises: StoreError."""
        await self.refresh()
        self._poller = asyncio.get_running_loop().create_task(self._poll(), name="ollm.store.keys")

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
        await asyncio.gather(*self._readings, return_exceptions=True)  # a thread goes on when who waits for it is cancelled
        await self._watch.close()

    async def create(self, new: NewKey, *, pepper: bytes) -> tuple[str, KeyRow]:
        """A new key: its text, which is not kept, and its row. Raises: StoreError when its name isn't 1-64 plain characters."""
        text, row = mint_key(new, pepper=pepper, row_key=self._row_key, random=os.urandom(RANDOM_BYTES))
        await asyncio.to_thread(self._insert, row)
        await self.refresh()
        return text, row

    async def list(self) -> list[KeyRow]:
        """All authentic rows, revoked and expired ones too, oldest first."""
        await self.refresh()
        return sorted((each.row for each in self._credentials.values()), key=lambda row: (row.created_at, row.key_id))

    async def revoke(self, key_id: str, now: int) -> KeyRow:
        """Make the key invalid from `now` on; a second time keeps the first time. Raises: StoreError when there is no such key."""
        row = await asyncio.to_thread(self._change, key_id, now, revoked_at=now)
        await self.refresh()
        return row

    async def expire(self, key_id: str, at: int, now: int) -> KeyRow:
        """Let the key end at `at` (Unix seconds), or earlier if it already would. Raises: StoreError when there is no such key."""
        row = await asyncio.to_thread(self._change, key_id, now, expires_at=at)
        await self.refresh()
        return row

    async def refresh(self) -> None:
        """Bring memory up to the database now. Raises: StoreError."""
        reading = asyncio.get_running_loop().run_in_executor(None, self._read)
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        generation, found = await asyncio.shield(reading)
        if generation < self._generation:
            return  # a refresh that began later has ended earlier
        self._credentials, self.rejected, self._generation = *self._judged(found), generation

    def _judged(self, found: "_Rows") -> tuple[Mapping[str, Credential], tuple[str, ...]]:
        """Those of the keys whose rows are authentic, each with what it may do, and the ids of rows that are not."""
        rejected: list[str] = []

        def authentic(rows: Sequence[Subject]) -> dict[str, Subject]:
            """By id: a row's first column."""
            kept = {}
            for row in rows:
                name = getattr(row, row.__struct_fields__[0])
                if is_authentic(row, self._row_key):
                    kept[name] = row
                else:
                    rejected.append(name)
            return kept

        above = _Above(authentic(found.organisations), authentic(found.projects), authentic(found.accounts), authentic(found.users))
        self._projects = {
            org_id: tuple(project.project_id for project in above.projects.values() if project.org_id == org_id) for org_id in above.organisations
        }
        self._places = {name: place for name in above.projects if (place := above.place(name)) is not None}
        known = self._credentials
        keys = {}
        for row in found.keys:
            before = known.get(row.key_id)
            if (before is not None and before.row == row) or is_authentic(row, self._row_key):
                keys[row.key_id] = Credential(row, above.standing(row))
            else:
                rejected.append(row.key_id)
        return keys, tuple(rejected)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                generation = await self._watch.generation(ANSWER_SECONDS)
                if generation != self._generation:
                    self._generation = -1  # also when it went back: someone put an older database in place
                    await self.refresh()
                self._misses = 0
            except StoreError:
                self._misses += 1
                if self._misses >= self._watch.misses:
                    self._credentials, self._places, self._generation = {}, {}, -1

    def _read(self) -> tuple[int, "_Rows"]:
        try:
            with self._engine.begin() as connection:
                generation = connection.exec_driver_sql("SELECT key_generation FROM installation").scalar_one()
                found = _Rows(
                    keys=_all(connection, KeyRow),
                    organisations=_all(connection, Organisation),
                    projects=_all(connection, Project),
                    accounts=_all(connection, ServiceAccount),
                    users=_all(connection, User),
                )
        except DatabaseError as error:
            raise store_error(error, "reading the keys") from None
        return int(generation), found

    def _insert(self, row: KeyRow) -> None:
        try:
            with writing(self._engine).begin() as connection:
                Changes(connection, self._row_key, local_actor(), row.created_at).add(row, "api_key.created")
        except DatabaseError as error:
            raise store_error(error, "storing the key") from None

    def _change(self, key_id: str, now: int, *, revoked_at: int | None = None, expires_at: int | None = None) -> KeyRow:
        try:
            with writing(self._engine).begin() as connection:
                changes = Changes(connection, self._row_key, local_actor(), now)
                row = changes.one(KeyRow, key_id)
                if row is None:
                    raise NoSuchSubject("key")
                new = msgspec.structs.replace(row, revoked_at=_earliest(row.revoked_at, revoked_at), expires_at=_earliest(row.expires_at, expires_at))
                return changes.put(row, new, "api_key.updated" if revoked_at is None else "api_key.deleted")
        except DatabaseError as error:
            raise store_error(error, "changing the key") from None


class _Rows(NamedTuple):
    """What the tables hold, as it was read."""

    keys: Sequence[KeyRow]
    organisations: Sequence[Organisation]
    projects: Sequence[Project]
    accounts: Sequence[ServiceAccount]
    users: Sequence[User]


class _Above(NamedTuple):
    """What stands above keys, by id: authentic rows alone."""

    organisations: Mapping[str, Organisation]
    projects: Mapping[str, Project]
    accounts: Mapping[str, ServiceAccount]
    users: Mapping[str, User]

    def standing(self, row: KeyRow) -> Standing | None:
        """What the key may do; None when its project, its organisation or its owner is gone or was never there."""
        place = self.place(row.project_id)
        if place is None:
            return None
        if row.owner is not None:
            owner = self.accounts.get(row.owner) or self.users.get(row.owner)
            if owner is None or owner.removed_at is not None:
                return None
        above = {**place.above, row.key_id: row.terms}
        return standing_of(row.key_id, Role(row.role), Level(row.require), above, project_id=place.project_id, org_id=place.org_id)

    def place(self, project_id: str) -> Place | None:
        """The project; None when it, or its organisation, is gone or was never there."""
        project = self.projects.get(project_id)
        organisation = self.organisations.get(project.org_id) if project is not None else None
        if project is None or organisation is None or project.archived_at is not None or organisation.archived_at is not None:
            return None
        return Place(project_id, organisation.org_id, {organisation.org_id: organisation.terms, project_id: project.terms})


def _all(connection: Connection, kind: type[Subject]) -> list[Subject]:
    table = TABLES[kind]
    return [subject_of(kind, tuple(row)) for row in connection.execute(select(*(table.c[name] for name in kind.__struct_fields__)))]


def _earliest(first: int | None, second: int | None) -> int | None:
    """What the store keeps only ever tightens."""
    return second if first is None else first if second is None else min(first, second)
