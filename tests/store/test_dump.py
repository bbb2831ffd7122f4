"""Backups: of one moment, readable by their owner alone, whole or refused."""

import asyncio
import os
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store.dump import TABLES, Backup, backup, in_batches
from ollm.store.keys import NewKey
from ollm.store.migrate import REVISIONS
from tests.store.making import PEPPER, Database, entry


def counted(file: Path) -> dict[str, int]:
    with Backup(file) as found:
        return {table.name: len(list(rows)) for table, rows in found.tables()}


async def test_a_backup_holds_every_table_and_is_private(database: Database) -> None:
    file = database.folder / "backup"
    async with database.open() as store:
        await store.keys.create(NewKey(name="app", created_at=1), pepper=PEPPER)
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(5)), store.ledger.complete(entry(receipt=None)))
        size = backup(store.engine, file)
    assert file.stat().st_size == size
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in database.folder.glob("backup*")) == ["backup"]
    counts = counted(file)
    assert set(counts) == {table.name for table in TABLES}
    assert (counts["ledger"], counts["receipts"], counts["api_keys"], counts["installation"]) == (6, 5, 1, 1)


async def test_a_backup_is_of_one_moment(database: Database) -> None:
    file = database.folder / "backup"
    async with database.open() as store:
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(2000)))
        making = asyncio.get_running_loop().create_task(asyncio.to_thread(backup, store.engine, file))
        while not making.done():
            await store.ledger.complete(entry())
        await making
    counts = counted(file)
    assert counts["ledger"] == counts["receipts"] >= 2000


async def test_nothing_is_overwritten_and_a_failure_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    file = database.folder / "backup"
    file.write_bytes(b"mine")
    async with database.open(role="admin") as store:
        with pytest.raises(StoreError, match="exists"):
            backup(store.engine, file)
        assert file.read_bytes() == b"mine"
        with pytest.raises(StoreError, match="can't write"):
            backup(store.engine, database.folder / "no" / "such")

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            backup(store.engine, database.folder / "other")
        assert not (database.folder / "other").exists()


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


HEAD = f'{{"ollm":"backup","format":1,"revision":"{REVISIONS[-1]}"}}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut off"),
        (b"SQLite format 3\0 and then nothing of it", "no backup"),
        (lines('{"ollm":"something"}'), "no backup"),
        (lines('{"ollm":"backup","format":2,"revision":"0001"}'), "no backup"),
        (lines('{"ollm":"backup","format":1,"revision":"0001"}'), "revision 0001"),
        (lines(HEAD), "cut off"),
        (lines(HEAD, '{"table":"bookmarks","columns":[]}'), "no backup"),
        (lines(HEAD, '{"table":"api_keys"}'), "no backup"),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StoreError, match=said):
        counted(tmp_path / "file")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't read"):
        Backup(tmp_path / "nothing")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_lines_that_are_missing_or_changed_are_noticed(database: Database) -> None:
    file = database.folder / "backup"
    async with database.open() as store:
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(3)))
        backup(store.engine, file)
    whole = file.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(whole) if line.startswith(b'{"table":"ledger"'))
    for changed in (whole[:-1], whole[: at + 2], whole[: at + 1] + whole[at + 2 :], [*whole[:-1], b'{"rows":1}\n']):
        file.write_bytes(b"".join(changed))
        with pytest.raises(StoreError, match="cut off"):
            counted(file)


def test_rows_come_in_batches() -> None:
    assert [len(batch) for batch in in_batches([[number] for number in range(2500)])] == [1000, 1000, 500]
