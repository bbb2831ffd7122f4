"""Files of the store: only for their owner, and one gateway per database."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ollm.errors import StoreError


def private_file(path: Path) -> None:
    """Make sure that `path` is a regular file that only its owner can read; SQLite gives its side files the same mode.

    Raises: StoreError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"can't open {path}: {error.strerror}", "give this user a directory that it may write to") from None
    try:
        if os.fstat(file).st_mode & 0o077:
            os.fchmod(file, 0o600)
    except OSError:
        raise StoreError(f"{path} can be read by other users and isn't ours to change", f"chown it to this user, then chmod 600 {path}") from None
    finally:
        # Safe before SQLite opens the file; later, closing any descriptor of it would drop SQLite's POSIX locks.
        os.close(file)


def sync_directory(directory: Path) -> None:
    """Make names of new and renamed files survive power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RoleLock:
    """Held by the one process that writes the ledger. The kernel lets go of it however the process ends."""

    def __init__(self, path: Path) -> None:
        private_file(path)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise StoreError("another gateway is running on this database", "stop it, or give this one a database of its own") from None

    def release(self) -> None:
        os.close(self._file)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for one's turn: processes that open the database do so one after the other."""
    private_file(path)
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
