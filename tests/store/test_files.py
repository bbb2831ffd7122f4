"""Files are their owner's alone, and one gateway holds a database."""

import os
import stat
from pathlib import Path

import pytest

from ollm.errors import StoreError
from ollm.store.files import RoleLock, private_file, turn


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_directory_are_private(tmp_path: Path) -> None:
    private_file(tmp_path / "var/ollm.db")
    assert mode(tmp_path / "var/ollm.db") == 0o600
    assert mode(tmp_path / "var") == 0o700


def test_a_readable_file_is_made_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ollm.db"
    path.write_bytes(b"kept")
    path.chmod(0o644)
    private_file(path)
    assert mode(path) == 0o600
    assert path.read_bytes() == b"kept"


def test_a_link_or_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "link", tmp_path):
        with pytest.raises(StoreError, match="can't open"):
            private_file(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_role_is_held_once_until_released(tmp_path: Path) -> None:
    lock = RoleLock(tmp_path / "lock")
    with pytest.raises(StoreError, match="another gateway is running"):
        RoleLock(tmp_path / "lock")
    lock.release()
    RoleLock(tmp_path / "lock").release()


def test_turns_leave_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with turn(tmp_path / "open"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
