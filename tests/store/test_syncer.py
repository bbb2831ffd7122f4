"""The thread that waits for the disk."""

import asyncio
import errno
import os
import sys
from pathlib import Path

import pytest

from ollm.store.syncer import SWITCH_SECONDS, Syncer


async def test_answers_on_the_loop_in_order(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    before = sys.getswitchinterval()
    loop = asyncio.get_running_loop()
    syncer = Syncer(tmp_path / "f", loop)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    answers: list[tuple[int, OSError | None]] = []
    last = loop.create_future()
    syncer.ask(lambda failure: answers.append((1, failure)))
    syncer.ask(lambda failure: answers.append((2, failure)))
    syncer.ask(last.set_result)
    assert await last is None
    assert answers == [(1, None), (2, None)]
    syncer.close()
    assert sys.getswitchinterval() == before


async def test_a_failing_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError(errno.EIO, "broken")

    (tmp_path / "f").write_bytes(b"x")
    loop = asyncio.get_running_loop()
    syncer = Syncer(tmp_path / "f", loop)
    monkeypatch.setattr(os, "fdatasync", fail)
    answer: asyncio.Future[OSError | None] = loop.create_future()
    syncer.ask(answer.set_result)
    failure = await answer
    assert failure is not None
    assert failure.errno == errno.EIO
    syncer.close()


async def test_notices_that_the_file_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    syncer = Syncer(path, asyncio.get_running_loop())
    assert syncer.is_current()
    path.rename(tmp_path / "g")
    assert not syncer.is_current()
    path.write_bytes(b"y")
    assert not syncer.is_current()
    syncer.close()
