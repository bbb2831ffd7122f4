"""The directory: written atomically, bounded, for its owner alone, and trusted for nothing."""

import concurrent.futures
import json
import os
import stat
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.net.collateral.artefact import Artefact, artefact
from ollm.net.collateral.record import encode
from ollm.net.collateral.shelf import Shelf, read_regular, summary
from tests.net.collateral.vendor import DAY, HOUR, NOW, crl, crl_key

KEY = crl_key()


def copy_of(subject: str = "a CA", *, end: int = NOW + 30 * DAY, fetched_at: int = NOW) -> Artefact:
    return artefact(crl_key(subject), crl(end=end), {}, fetched_at)


def test_what_is_written_is_read_by_another_process(tmp_path: Path) -> None:
    copy = copy_of()
    Shelf(tmp_path / "a" / "b").write(copy, NOW)
    assert Shelf(tmp_path / "a" / "b").read(KEY, NOW) == copy
    assert Shelf(tmp_path).read(KEY, NOW) is None
    assert Shelf(tmp_path / "none").read(KEY, NOW) is None


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    Shelf(tmp_path / "a" / "b").write(copy_of(), NOW)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "b").iterdir()} == {0o600}


def test_what_has_ended_is_listed_and_not_read(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.write(copy_of(end=NOW + 10), NOW)
    assert shelf.read(KEY, NOW + 9) is not None
    assert shelf.read(KEY, NOW + 10) is None
    assert [summary(copy, NOW + 10)["state"] for copy in shelf.all(NOW + 10)] == ["ended"]


@pytest.mark.parametrize(("seconds", "state"), [(0, "fresh"), (HOUR, "stale"), (30 * DAY, "ended")])
def test_the_state_of_a_copy(seconds: int, state: str) -> None:
    assert summary(copy_of(), NOW + seconds)["state"] == state


def test_the_index_says_what_is_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for subject in ("one", "two"):
        shelf.write(copy_of(subject), NOW)
    (tmp_path / f"{crl_key('one').digest}.json").unlink()
    shelf.write(copy_of("three"), NOW)
    index = json.loads((tmp_path / "INDEX.json").read_bytes())
    assert {row["subject"] for row in index["artefacts"]} == {"two", "three"}
    assert index["artefacts"][0]["hard_end"] == NOW + 30 * DAY
    (tmp_path / "INDEX.json").write_text("lies")
    assert len(list(shelf.all(NOW))) == 2, "it is never read back"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, encode(copy_of("another"))])
def test_what_can_not_be_read_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{KEY.digest}.json").write_bytes(content)
    shelf = Shelf(tmp_path)
    assert shelf.read(KEY, NOW) is None
    assert list(shelf.all(NOW)) == []


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(encode(copy_of()))
    name = tmp_path / f"{KEY.digest}.json"
    name.symlink_to(tmp_path / "elsewhere")
    assert Shelf(tmp_path).read(KEY, NOW) is None
    name.unlink()
    os.mkfifo(name)
    assert Shelf(tmp_path).read(KEY, NOW) is None
    assert read_regular(tmp_path / "elsewhere", 10) == encode(copy_of("a CA"))[:11]


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "../x.json").resolve().write_text("not mine")
    Shelf(tmp_path, max_files=1).write_all([copy_of("one"), copy_of("two")], NOW)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(Shelf(tmp_path).all(NOW))) == 1


def test_what_is_unreadable_or_ended_goes_first_then_what_ends_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, max_files=2)
    (tmp_path / f"{'0' * 64}.json").write_bytes(b"garbage")
    shelf.write_all([copy_of("ended", end=NOW - 5), copy_of("soon", end=NOW + 5), copy_of("late"), copy_of("later", end=NOW + 31 * DAY)], NOW)
    assert {copy.key.subject for copy in shelf.all(NOW)} == {"late", "later"}


def test_a_command_that_only_reads_leaves_nothing_behind(tmp_path: Path) -> None:
    Shelf(tmp_path / "none", read_only=True).write(copy_of(), NOW)
    assert not (tmp_path / "none").exists()


def test_a_directory_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't write to"):
        Shelf(tmp_path / "file").write(copy_of(), NOW)


def test_a_write_that_breaks_off_leaves_the_copy_that_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path)
    first = copy_of()
    shelf.write(first, NOW)

    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match="No space left"):
        shelf.write(copy_of(end=NOW + 40 * DAY), NOW)
    assert Shelf(tmp_path).read(KEY, NOW) == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_many_threads_write_at_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: shelf.write(copy_of(f"CA {number}"), NOW), range(24)))
    assert len(list(shelf.all(NOW))) == 24
    assert len(json.loads((tmp_path / "INDEX.json").read_bytes())["artefacts"]) == 24
