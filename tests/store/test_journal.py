"""The file of intents: what is written survives, what is torn or foreign is told apart."""

import errno
import os
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store import journal as module
from ollm.store.journal import Journal
from tests.store.making import CANARY, intent

INSTALLATION = "4b" * 16


def opened(directory: Path) -> Journal:
    return Journal(directory / "intents", INSTALLATION)


def add_many(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.add(intent())


def test_intents_are_in_the_file_before_add_returns_and_are_found_again(tmp_path: Path) -> None:
    first, second = intent(), intent(session_id=None, level="zdr", project="proj_abcdefgh234567ab")
    journal = opened(tmp_path)
    journal.add(first)
    journal.add(second)
    assert journal.under_way == 2
    assert opened(tmp_path).found == [first, second]  # the first was never closed, as after kill -9


def test_the_file_is_private_and_readable_by_people(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    wanted = intent()
    journal.add(wanted)
    path = tmp_path / "intents"
    assert path.stat().st_mode & 0o777 == 0o600
    head, line = path.read_text().rstrip("\0").splitlines()
    assert head == f"ollm-intents 3 {INSTALLATION}"
    assert line.split()[:7] == [wanted.request_id, wanted.key_id, wanted.project, wanted.model, wanted.upstream, "tee", wanted.session_id]


def test_a_torn_last_line_is_dropped_and_the_next_line_is_whole(tmp_path: Path) -> None:
    whole, torn, later = intent(), intent(), intent()
    journal = opened(tmp_path)
    journal.add(whole)
    journal.add(torn)
    path = tmp_path / "intents"
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-20])
    again = opened(tmp_path)
    assert (again.found, again.unreadable) == ([whole], 1)
    again.add(later)
    assert opened(tmp_path).found == [whole, later]


def test_a_changed_line_is_dropped(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.add(intent(model="small"))
    path = tmp_path / "intents"
    path.write_bytes(path.read_bytes().replace(b" small ", b" smaul "))
    again = opened(tmp_path)
    assert (again.found, again.unreadable) == ([], 1)


def test_a_file_of_another_installation_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).add(intent())
    with pytest.raises(StoreError, match="another installation"):
        Journal(tmp_path / "intents", "00" * 16)


@pytest.mark.parametrize("field", ["request_id", "key_id", "model", "upstream", "level", "session_id"])
@pytest.mark.parametrize("content", [CANARY, "", "a b", "a\nb", "x" * 200, "ä"])
def test_what_is_no_name_is_refused_and_not_quoted(tmp_path: Path, field: str, content: str) -> None:
    if field == "session_id" and not content:
        return  # an empty session id is none
    journal = opened(tmp_path)
    with pytest.raises(StoreError) as refused:
        journal.add(intent(**{field: content}))
    assert not content or content not in str(refused.value) or len(content) < 4
    assert journal.under_way == 0
    assert opened(tmp_path).found == []


def test_settled_requests_are_left_behind_when_the_file_turns_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROTATE_BYTES", 2000)
    monkeypatch.setattr(module, "_ROOM", 500)
    journal = opened(tmp_path)
    waiting = intent()
    journal.add(waiting)
    for _ in range(50):
        done = intent()
        journal.add(done)
        journal.settle(done.request_id)
    assert (tmp_path / "intents").stat().st_size < 4500
    assert waiting in opened(tmp_path).found
    journal.add(later := intent())
    assert opened(tmp_path).found[-1] == later


def test_a_full_disk_refuses_the_intent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_ROOM", 400)
    journal = opened(tmp_path)
    journal.add(first := intent())
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(StoreError, match="No space left") as refused:
            add_many(journal, 4)
        assert refused.value.mend == "make room on the disk"
    under_way = journal.under_way
    journal.add(last := intent())
    found = opened(tmp_path).found
    assert (found[0], found[-1], len(found)) == (first, last, under_way + 1)


@pytest.mark.parametrize("kept", range(1, 160, 7))
def test_a_line_that_was_copied_in_part_is_dropped(tmp_path: Path, kept: int) -> None:
    """Killed while it was copied: any of its bytes may be there, the last ones without the first among them."""
    journal = opened(tmp_path)
    journal.add(first := intent())
    path = tmp_path / "intents"
    whole = path.read_bytes().rstrip(b"\0")
    journal.add(intent())
    line = path.read_bytes().rstrip(b"\0")[len(whole) :]
    for torn in (line[:kept], bytes(kept) + line[kept:]):
        path.write_bytes((whole + torn).ljust(4096, b"\0"))
        again = opened(tmp_path)
        again.add(last := intent())
        assert opened(tmp_path).found == [first, last]


def test_the_room_for_lines_is_on_the_disk(tmp_path: Path) -> None:
    opened(tmp_path).add(intent())
    status = (tmp_path / "intents").stat()
    assert status.st_blocks * 512 >= status.st_size


def test_turning_over_may_fail_without_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROTATE_BYTES", 100)
    journal = opened(tmp_path)
    (tmp_path / "intents.new").mkdir()  # in the way
    for _ in range(5):
        journal.add(last := intent())
        journal.settle(last.request_id)
    assert last in opened(tmp_path).found
    journal.add(kept := intent())
    assert kept in opened(tmp_path).found


def test_clear_forgets_what_was_found(tmp_path: Path) -> None:
    opened(tmp_path).add(intent())
    journal = opened(tmp_path)
    journal.clear()
    assert journal.found == []
    assert opened(tmp_path).found == []
    journal.close()
