"""Opening: who may, beside whom, and what lies on the disk then."""

import asyncio
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store.keys import NewKey
from ollm.store.sqlite import open_store
from tests.store.conftest import Opener
from tests.store.making import CANARY, PEPPER, ROW_KEY, entry, files_with, intent, modes, url


async def test_one_gateway_per_database(opener: Opener) -> None:
    first = opener()
    with pytest.raises(StoreError, match="another gateway is running"):
        opener()
    await first.close()
    await opener().close()


async def test_administration_works_while_a_gateway_serves(opener: Opener) -> None:
    async with opener() as gateway, opener(role="admin") as one, opener(role="admin") as two:

        async def serve() -> None:
            for _ in range(50):
                await asyncio.gather(*(gateway.ledger.complete(entry()) for _ in range(10)))

        async def administer(store: object, name: str) -> None:
            for number in range(10):
                await store.keys.create(NewKey(name=f"{name} {number}", created_at=1), pepper=PEPPER)  # type: ignore[attr-defined]

        await asyncio.gather(serve(), administer(one, "a"), administer(two, "b"))
        assert len(await gateway.ledger.recent(1000)) == 500
        assert len(await gateway.keys.list()) == 20


async def test_every_file_is_private(opener: Opener, tmp_path: Path) -> None:
    async with opener() as store:
        await store.ledger.intend(intent())
        await store.ledger.complete(entry())
        found = modes(tmp_path)
    assert set(found) == {f"ollm.db{suffix}" for suffix in ("", "-wal", "-shm", "-intents", "-gateway", "-open")}
    assert set(found.values()) == {0o600}


async def test_closing_without_starting_and_closing_twice(opener: Opener) -> None:
    store = opener()
    await store.close()
    await store.close()
    async with opener():
        pass


async def test_a_start_that_fails_leaves_nothing_held(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "ollm.db-intents").write_bytes(b"something else\n")
    store = opener()
    with pytest.raises(StoreError, match="another installation or version"):
        await store.start()
    await store.close()
    (tmp_path / "ollm.db-intents").unlink()
    async with opener() as store:
        await store.ledger.complete(entry())


def test_a_short_row_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="fewer than 32 bytes"):
        open_store(url(tmp_path), row_key=b"short")


async def test_a_directory_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="can't open"):
        open_store(url(tmp_path / "file" / "below"), row_key=ROW_KEY)


async def test_content_in_any_field_reaches_no_file(opener: Opener, tmp_path: Path) -> None:
    fields = ["request_id", "key_id", "project", "endpoint", "model", "upstream", "level", "session_id", "price_version", "http_status", "cost_micro"]
    fields += ["reserved_micro"]
    async with opener() as store:
        for field in fields:
            with pytest.raises(StoreError):
                await store.ledger.complete(entry(**{field: CANARY}))
        for field in ("request_id", "key_id", "project", "model", "upstream", "level", "session_id", "started_ms"):
            with pytest.raises(StoreError):
                await store.ledger.intend(intent(**{field: CANARY}))
        await store.ledger.complete(entry())
        assert files_with(tmp_path, b"enclave-1")
        assert not files_with(tmp_path, CANARY.encode())
    assert not files_with(tmp_path, CANARY.encode())
