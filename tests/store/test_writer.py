"""Group commit: what is batched, what waits for the disk, and what happens when it can't be written."""

import asyncio
import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store import writer as module
from ollm.store.sqlite import Store
from ollm.store.writer import Writer
from tests.store.conftest import Opener
from tests.store.making import entry, eventually, intent, raw


def writer_of(store: Store) -> Writer:
    writer = store.ledger._writer
    assert isinstance(writer, Writer)
    return writer


class Disk:
    """Holds fdatasync back until told, and counts it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.failure: OSError | None = None
        self._go = threading.Semaphore(0)
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, file: int) -> None:
        self._go.acquire(timeout=10)
        self.calls += 1
        if self.failure is not None:
            raise self.failure

    def let_go(self, times: int = 1) -> None:
        self._go.release(times)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def rows(directory: Path) -> int:
    connection = raw(directory)
    count: int = connection.execute("SELECT count(*) FROM ledger").fetchone()[0]
    connection.close()
    return count


async def test_nobody_is_answered_before_the_disk_has_it(disk: Disk, opener: Opener, tmp_path: Path) -> None:
    async with opener(durability="full") as store:
        task = asyncio.get_running_loop().create_task(store.ledger.complete(entry()))
        await eventually(lambda: rows(tmp_path) == 1)  # committed: kill -9 can't take it any more
        await asyncio.sleep(0.02)
        assert not task.done()  # but power loss could
        disk.let_go()
        await task


async def test_those_who_come_while_the_disk_is_busy_share_the_next_flush(disk: Disk, opener: Opener) -> None:
    async with opener(durability="full") as store:
        loop = asyncio.get_running_loop()
        first = loop.create_task(store.ledger.complete(entry()))
        await asyncio.sleep(0.01)
        crowd = [loop.create_task(store.ledger.complete(entry())) for _ in range(50)]
        await asyncio.sleep(0.01)
        disk.let_go(2)
        await asyncio.gather(first, *crowd)
        assert disk.calls == 2


async def test_those_who_come_in_the_next_turns_of_the_loop_share_a_commit(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opener(durability="process") as store:
        batches: list[int] = []
        commit = Writer._commit

        def counted(self: Writer, batch: list[module.Waiter]) -> list[module.Waiter]:
            batches.append(len(batch))
            return commit(self, batch)

        monkeypatch.setattr(Writer, "_commit", counted)
        async with asyncio.TaskGroup() as group:
            for _ in range(module.TURNS):  # one in each turn
                group.create_task(store.ledger.complete(entry()))
                await asyncio.sleep(0)
        await asyncio.gather(*(store.ledger.complete(entry()) for _ in range(3 * module.ENOUGH)))
        assert batches == [module.TURNS, 3 * module.ENOUGH]


async def test_process_durability_waits_for_no_disk(disk: Disk, opener: Opener) -> None:
    async with opener(durability="process") as store:
        await store.ledger.complete(entry())
    assert disk.calls == 0


async def test_a_failed_disk_refuses_all_and_for_good(disk: Disk, opener: Opener) -> None:
    async with opener(durability="full") as store:
        loop = asyncio.get_running_loop()
        syncing = loop.create_task(store.ledger.complete(entry()))
        await asyncio.sleep(0.01)
        waiting = loop.create_task(store.ledger.complete(entry()))
        await asyncio.sleep(0.01)
        disk.failure = OSError(errno.EIO, "broken")
        disk.let_go(5)
        for outcome in await asyncio.gather(syncing, waiting, return_exceptions=True):
            assert isinstance(outcome, StoreError)
            assert "the disk failed" in outcome.cause
        disk.failure = None
        with pytest.raises(StoreError, match="restart the gateway"):
            await store.ledger.complete(entry())
        with pytest.raises(StoreError, match="restart the gateway"):
            await store.ledger.intend(intent())


@pytest.mark.parametrize("durability", ["full", "process"])
async def test_a_full_database_refuses_and_recovers(opener: Opener, durability: str) -> None:
    async with opener(durability=durability) as store:
        db = writer_of(store)._db
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages + 4}")
        begun = [intent() for _ in range(4)]
        for one in begun:
            await store.ledger.intend(one)
        outcomes = await asyncio.gather(
            *(store.ledger.complete(entry(one.request_id, receipt=bytes(20_000))) for one in begun), return_exceptions=True
        )
        assert all(isinstance(outcome, StoreError) and "SQLITE_FULL" in outcome.cause for outcome in outcomes)
        assert store.ledger.under_way == 4  # they will be LOST if nothing better comes
        db.execute("PRAGMA max_page_count=1000000")
        await store.ledger.complete(written := entry(begun[0].request_id))
        assert await store.ledger.find(written.request_id) == written
        assert store.ledger.under_way == 3


async def test_waits_while_another_process_holds_the_lock(opener: Opener, tmp_path: Path) -> None:
    async with opener() as store:
        other = raw(tmp_path)
        other.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.get_running_loop().create_task(store.ledger.complete(entry())) for _ in range(3)]
        for _ in range(20):
            await asyncio.sleep(0.001)  # the loop goes on meanwhile
        assert not any(task.done() for task in tasks)
        other.execute("COMMIT")
        await asyncio.gather(*tasks)
        assert rows(tmp_path) == 3
        other.close()


async def test_gives_up_on_a_lock_that_is_never_released(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_MS", 20)
    async with opener() as store:
        other = raw(tmp_path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="SQLITE_BUSY") as refused:
            await store.ledger.complete(entry())
        assert "another process" in refused.value.mend
        other.execute("COMMIT")
        other.close()
        await store.ledger.complete(entry())


async def test_the_wal_is_copied_back_and_starts_over(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.02)
    monkeypatch.setattr(module, "MAX_WAL_PAGES", 100)
    async with opener(durability="process") as store:
        for _ in range(40):
            await asyncio.gather(*(store.ledger.complete(entry(receipt=bytes(3000))) for _ in range(20)))
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        written = 40 * 20 * 3000
        assert (tmp_path / "ollm.db").stat().st_size > written
        assert (tmp_path / "ollm.db-wal").stat().st_size < written


async def test_replaced_files_stop_the_writer(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.01)
    async with opener(durability="full") as store:
        await store.ledger.complete(entry())
        (tmp_path / "ollm.db-wal").rename(tmp_path / "elsewhere")
        await eventually(lambda: writer_of(store)._broken is not None)
        with pytest.raises(StoreError, match="replaced under the running gateway"):
            await store.ledger.complete(entry())
        (tmp_path / "elsewhere").rename(tmp_path / "ollm.db-wal")


async def test_a_mistake_of_our_own_leaves_nobody_waiting(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(type(context["exception"]).__name__))

    def mistaken(*arguments: object) -> None:
        raise ZeroDivisionError

    async with opener() as store:
        monkeypatch.setattr(module, "row_of", mistaken)
        with pytest.raises(StoreError, match="mistake in its own code"):
            await store.ledger.complete(entry())
        with pytest.raises(StoreError, match="mistake in its own code"):
            await store.ledger.intend(intent())
    assert heard == ["ZeroDivisionError"]


async def test_close_writes_what_waits(opener: Opener) -> None:
    store = opener(durability="full")
    await store.start()
    written = [entry() for _ in range(20)]
    tasks = [asyncio.get_running_loop().create_task(store.ledger.complete(one)) for one in written]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    async with opener() as store:
        assert len(await store.ledger.recent(100)) == 20


async def test_rows_in_the_main_thread_only(opener: Opener) -> None:
    """The connection refuses other threads: nothing of the hot path may move off the loop unnoticed."""
    async with opener() as store:
        with pytest.raises(sqlite3.ProgrammingError):
            await asyncio.to_thread(writer_of(store)._db.execute, "SELECT 1")
