"""Sessions are kept as they were first stored."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ollm.errors import StoreError
from ollm.ports import Sessions
from ollm.store.sqlite import Store
from tests.store.making import CANARY, Database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with database.open() as store:
        yield store


ONE, TWO, THREE = "1a" * 32, "2b" * 32, "3c" * 32


async def test_a_session_comes_back_byte_for_byte_also_after_a_restart(database: Database) -> None:
    document = bytes(range(256)) * 300
    async with database.open() as store:
        await store.sessions.put(ONE, "enclave-1", 100, document)
    async with database.open() as store:
        sessions: Sessions = store.sessions
        assert await sessions.get(ONE) == document
        assert await sessions.get(TWO) is None


async def test_the_first_document_stays(store: Store) -> None:
    await store.sessions.put(ONE, "enclave-1", 100, b"first")
    await store.sessions.put(ONE, "enclave-2", 200, b"second")
    assert await store.sessions.get(ONE) == b"first"
    assert await store.sessions.list(150) == []


async def test_the_list_is_what_is_valid_now_by_upstream(store: Store) -> None:
    await store.sessions.put(ONE, "enclave-1", 100, b"one")
    await store.sessions.put(TWO, "enclave-2", 300, b"two")
    await store.sessions.put(THREE, "enclave-1", 200, b"three")
    assert await store.sessions.list(99) == [(TWO, b"two"), (THREE, b"three"), (ONE, b"one")]
    assert await store.sessions.list(100) == [(TWO, b"two"), (THREE, b"three")]
    assert await store.sessions.list(50, "enclave-1") == [(THREE, b"three"), (ONE, b"one")]
    assert await store.sessions.list(50, limit=1) == [(TWO, b"two")]


@pytest.mark.parametrize(
    ("session_id", "upstream", "document"), [("short", "u", b"x"), (ONE.upper(), "u", b"x"), (ONE, CANARY, b"x"), (ONE, "u", b"")]
)
async def test_what_is_no_session_is_refused_unquoted(store: Store, session_id: str, upstream: str, document: bytes) -> None:
    with pytest.raises(StoreError, match=r"storing the session failed: (SQLITE_CONSTRAINT_CHECK|CheckViolation \(23514\))") as refused:
        await store.sessions.put(session_id, upstream, 1, document)
    assert upstream not in str(refused.value) or upstream == "u"


async def test_many_at_once(store: Store) -> None:
    ids = [f"{number:064x}" for number in range(30)]
    await asyncio.gather(*(store.sessions.put(name, "u", 10, name.encode()) for name in ids + ids))
    assert await asyncio.gather(*(store.sessions.get(name) for name in ids)) == [name.encode() for name in ids]
