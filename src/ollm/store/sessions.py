"""Verified sessions with their evidence, so that a receipt can be followed back to what was verified."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Engine, select
from sqlalchemy.exc import DatabaseError

from ollm.store.database import inserting, store_error, writing
from ollm.store.schema import sessions


class SqlSessions:
    """ports.Sessions, and a list. A session is never changed: its id is the digest of its document."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def put(self, session_id: str, upstream: str, expires_at: int, document: bytes) -> None:
        """Store once; the same id again changes nothing. Raises: StoreError."""
        await asyncio.to_thread(self._put, session_id, upstream, expires_at, document)

    async def get(self, session_id: str) -> bytes | None:
        """The document, also of a session that has expired. Raises: StoreError."""
        return await asyncio.to_thread(self._get, session_id)

    async def list(self, now: int, upstream: str | None = None, limit: int = 100) -> Sequence[tuple[str, bytes]]:
        """Ids and documents of sessions that are valid at `now` (Unix seconds), longest valid first. Raises: StoreError."""
        return await asyncio.to_thread(self._list, now, upstream, limit)

    def _put(self, session_id: str, upstream: str, expires_at: int, document: bytes) -> None:
        row = {"session_id": session_id, "upstream": upstream, "expires_at": expires_at, "document": document}
        try:
            with writing(self._engine).begin() as connection:
                connection.execute(inserting(connection, sessions).values(row).on_conflict_do_nothing(index_elements=["session_id"]))
        except DatabaseError as error:
            raise store_error(error, "storing the session") from None

    def _get(self, session_id: str) -> bytes | None:
        try:
            with self._engine.begin() as connection:
                return connection.execute(select(sessions.c.document).where(sessions.c.session_id == session_id)).scalar_one_or_none()
        except DatabaseError as error:
            raise store_error(error, "reading the session") from None

    def _list(self, now: int, upstream: str | None, limit: int) -> Sequence[tuple[str, bytes]]:
        query = select(sessions.c.session_id, sessions.c.document).where(sessions.c.expires_at > now)
        if upstream is not None:
            query = query.where(sessions.c.upstream == upstream)
        query = query.order_by(sessions.c.expires_at.desc(), sessions.c.session_id).limit(limit)
        try:
            with self._engine.begin() as connection:
                return [(row.session_id, row.document) for row in connection.execute(query)]
        except DatabaseError as error:
            raise store_error(error, "listing the sessions") from None
