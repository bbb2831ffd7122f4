"""Keys in the database: administration, tampering, and how soon every process knows."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ollm.errors import StoreError
from ollm.store import keyring
from ollm.store.keys import NewKey, authenticate
from ollm.store.sqlite import Store
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from tests.store.making import CANARY, PEPPER, Database, eventually

NOW = 1_700_000_000


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with database.open() as store:
        yield store


async def created(store: Store, name: str = "app", **options: object) -> tuple[str, KeyRow]:
    return await store.keys.create(NewKey(**({"name": name, "created_at": NOW} | options)), pepper=PEPPER)  # type: ignore[arg-type]


def let_in(store: Store, text: str, now: int = NOW) -> bool:
    return authenticate(text, store.keys, PEPPER, now) is not None


async def test_a_created_key_works_at_once_and_after_a_restart(database: Database) -> None:
    async with database.open() as store:
        text, row = await created(store, "Billing EU")
        assert let_in(store, text)
        found = store.keys.lookup(row.key_id)
        assert found is not None
        assert found.row == row
    async with database.open() as store:
        assert let_in(store, text)
        assert await store.keys.list() == [row]


async def test_the_secret_is_in_no_file(database: Database) -> None:
    async with database.open() as store:
        text, row = await created(store)
        secret = text.split("-", 3)[3].encode()  # base64url: it may hold a hyphen of its own
        assert database.holds(row.key_id.encode())
        assert not database.holds(secret)
        assert not database.holds(PEPPER)


async def test_revoked_at_once_and_only_once(store: Store) -> None:
    text, row = await created(store)
    assert (await store.keys.revoke(row.key_id, NOW + 5)).revoked_at == NOW + 5
    assert not let_in(store, text)
    assert (await store.keys.revoke(row.key_id, NOW + 9)).revoked_at == NOW + 5


async def test_an_expiry_can_only_come_closer(store: Store) -> None:
    text, row = await created(store, expires_at=NOW + 100)
    assert (await store.keys.expire(row.key_id, NOW + 50, NOW)).expires_at == NOW + 50
    assert (await store.keys.expire(row.key_id, NOW + 80, NOW)).expires_at == NOW + 50
    assert let_in(store, text, NOW + 49)
    assert not let_in(store, text, NOW + 50)


async def test_list_is_oldest_first_with_revoked_ones(store: Store) -> None:
    rows = [(await created(store, name, created_at=NOW + age))[1] for age, name in enumerate(("c", "a", "b"))]
    await store.keys.revoke(rows[1].key_id, NOW)
    assert [row.name for row in await store.keys.list()] == ["c", "a", "b"]


async def test_unknown_keys_can_not_be_changed(store: Store) -> None:
    with pytest.raises(StoreError, match="no such key"):
        await store.keys.revoke("abc", NOW)
    with pytest.raises(StoreError, match="no such key"):
        await store.keys.expire("abc", NOW, NOW)


@pytest.mark.parametrize("name", ["", "x" * 65, CANARY, "a\nb", "naïve"])
async def test_a_name_that_is_no_label_is_refused_unquoted(store: Store, name: str) -> None:
    with pytest.raises(StoreError) as refused:
        await created(store, name)
    assert not name or name not in str(refused.value)
    assert await store.keys.list() == []


async def test_other_processes_know_within_a_second(database: Database) -> None:
    async with database.open() as gateway, database.open(role="admin") as admin:
        text, row = await created(admin)
        await eventually(lambda: let_in(gateway, text), seconds=1)
        await admin.keys.revoke(row.key_id, NOW)
        await eventually(lambda: not let_in(gateway, text), seconds=1)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE api_keys SET require = 'simulated'",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE api_keys SET expires_at = NULL",
        "UPDATE api_keys SET mac = zeroblob(32)",
        "UPDATE api_keys SET name = 'other'",
        "UPDATE api_keys SET row_mac = zeroblob(32)",
        "UPDATE api_keys SET key_id = 'zzzz'",
        "UPDATE api_keys SET role = 'owner'",
        "UPDATE api_keys SET terms = '[]'",
        "UPDATE api_keys SET disabled_at = 1",
        "INSERT INTO api_keys SELECT 'zzzz', name, mac, require, created_at, expires_at, revoked_at, project_id, owner, role, terms, "
        "disabled_at, replaces, row_mac FROM api_keys",
    ],
)
async def test_a_tampered_row_is_absent_and_reported(database: Database, tampering: str) -> None:
    async with database.open(role="admin") as store:
        _, row = await created(store, require=Level.ZDR, expires_at=NOW + 10)
        row = await store.keys.revoke(row.key_id, NOW)
    database.run(tampering)
    bad = database.run("SELECT max(key_id) FROM api_keys")[0][0]
    async with database.open() as store:
        assert store.keys.lookup(bad) is None
        assert store.keys.rejected == (bad,)
        assert bad not in [known.key_id for known in await store.keys.list()]
        with pytest.raises(StoreError, match="no such key"):
            await store.keys.expire(bad, NOW, NOW)


async def test_tampering_under_a_running_gateway_is_noticed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0.01)
    async with database.open() as store:
        text, row = await created(store)
        database.run("UPDATE api_keys SET require = 'simulated'")
        await eventually(lambda: bool(store.keys.rejected))
        assert not let_in(store, text)
        database.run("DELETE FROM api_keys")
        await eventually(lambda: not store.keys.rejected)
        assert store.keys.lookup(row.key_id) is None


async def test_keys_that_can_not_be_checked_any_more_are_not_trusted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "POLL_SECONDS", 0.005)
    async with database.open() as store:
        monkeypatch.setattr(type(store.keys._watch), "misses", 5)
        text, _ = await created(store)
        database.run("ALTER TABLE installation RENAME TO gone")
        await eventually(lambda: not let_in(store, text), seconds=5)
        database.run("ALTER TABLE gone RENAME TO installation")
        await eventually(lambda: let_in(store, text), seconds=5)


async def test_many_changes_at_once_are_all_there(store: Store) -> None:
    keys = await asyncio.gather(*(created(store, f"app {number}") for number in range(20)))
    assert all(let_in(store, text) for text, _ in keys)
    await asyncio.gather(*(store.keys.revoke(row.key_id, NOW) for _, row in keys[:10]))
    assert [let_in(store, text) for text, _ in keys] == [False] * 10 + [True] * 10
