"""A directory of collateral that outlives the process, or came from another machine: one file per artefact, written atomically.

    <digest of kind and identity>.json    a record (record.py)
    INDEX.json                            what is there, for people; never read back

Nothing is trusted for lying here. What can't be read as a record counts as absent.
"""

import contextlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ollm.errors import CollateralError, StoreError
from ollm.net.collateral import record
from ollm.net.collateral.artefact import Artefact, Key

INDEX = "INDEX.json"
NAME = re.compile(r"[0-9a-f]{64}\.json")
_MAX_FILES = 4096


class Shelf:
    """The directory `path`, made when it is first written to. Calls block on files, and may come from several threads and processes."""

    def __init__(self, path: Path, *, read_only: bool = False, max_files: int = _MAX_FILES) -> None:
        self.path = path
        self._read_only = read_only
        self._max_files = max_files
        self._turn = threading.Lock()
        self._rows: dict[str, dict[str, object]] | None = None  # of the index, read once; other processes' files come in with the next start

    def read(self, key: Key, now: int) -> Artefact | None:
        """The copy for `key`, if there is one that can be read and whose time is not over."""
        copy = self._load(f"{key.digest}.json", now)
        return copy if copy is not None and copy.key == key and now < copy.term.end else None

    def all(self, now: int) -> Iterator[Artefact]:
        """Every copy that can be read, ended ones too, in the order of their file names."""
        for name in self._names():
            copy = self._load(name, now)
            if copy is not None:
                yield copy

    def write(self, copy: Artefact, now: int) -> None:
        """Put `copy` in place of an older one. Raises: StoreError."""
        self.write_all([copy], now)

    def write_all(self, copies: list[Artefact], now: int) -> None:
        """Put `copies` in place, then the index; nothing where the directory is only read. Raises: StoreError."""
        if self._read_only:
            return
        try:
            with self._turn:
                for folder in (*reversed(self.path.parents), self.path):
                    folder.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would make the upper ones readable by all
                for copy in copies:
                    self._replace(f"{copy.key.digest}.json", record.encode(copy))
                self._prune(now)
                self._replace(INDEX, self._index(copies, now))
                _sync(self.path)
        except OSError as problem:
            raise StoreError(f"can't write to {self.path}: {problem.strerror}", "give this user a directory that it may write to") from None

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.path) if NAME.fullmatch(name))
        except OSError:
            return []

    def _load(self, name: str, now: int) -> Artefact | None:
        try:
            return record.decode(read_regular(self.path / name, record.MAX_RECORD), name.removesuffix(".json"), now)
        except (OSError, CollateralError):
            return None

    def _replace(self, name: str, data: bytes) -> None:
        draft = self.path / f".{name}.{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self.path / name)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise

    def _prune(self, now: int) -> None:
        """Keep the number of files bounded: what is unreadable or ended goes first, then what ends first."""
        names = self._names()
        if len(names) <= self._max_files:
            return
        ends = {name: copy.term.end if (copy := self._load(name, now)) is not None else 0 for name in names}
        for name in sorted(names, key=lambda name: (ends[name] > now, ends[name]))[: len(names) - self._max_files]:
            (self.path / name).unlink(missing_ok=True)

    def _index(self, written: list[Artefact], now: int) -> bytes:
        rows = self._rows if self._rows is not None else {f"{copy.key.digest}.json": row(copy) for copy in self.all(now)}
        rows |= {f"{copy.key.digest}.json": row(copy) for copy in written}
        names = set(self._names())
        self._rows = {name: row for name, row in rows.items() if name in names}
        document = {"format": record.FORMAT, "artefacts": [self._rows[name] for name in sorted(self._rows)]}
        return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def row(copy: Artefact) -> dict[str, object]:
    """A copy in the index: what does not depend on when it is looked at."""
    return {
        "file": f"{copy.key.digest}.json",
        "kind": copy.key.kind,
        "subject": copy.key.subject,
        "from": copy.key.identity,
        "fetched_at": copy.fetched_at,
        "soft_end": copy.soft_end,
        "hard_end": copy.term.end,
        "bytes": len(copy.body),
    }


def summary(copy: Artefact, now: int) -> dict[str, object]:
    """What people want to know of a copy. `state` is fresh, stale (asked for anew at its next use) or ended (never used again)."""
    state = "ended" if now >= copy.term.end else "stale" if now >= copy.soft_end else "fresh"
    return {**row(copy), "state": state}


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes (a longer one is cut behind them). Raises: OSError for a link or a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        return file.read(limit + 1)


def _sync(directory: Path) -> None:
    """Make names of new and renamed files survive power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
