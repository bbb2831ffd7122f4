"""Intents: an append-only text file that survives kill -9, beside the database.

    ollm-intents 3 4be1…<installation id>
    5c0d…<request id> abcdefgh234567ab proj_default small enclave-1 tee 9f86…<session id> 1700000000000 250 1a2b3c4d

One line per request that may have reached a provider: request, key, project, model, upstream, level, session ("-" if none), start
in Unix milliseconds, micro-units reserved for it ("-" if none), CRC-32 of what stands before it. The file is mapped into memory: a line is
in the page cache, which outlives the process, as soon as it is copied there. Behind the last line there is room for more, all zeros, which
is on the disk already: a full disk shows when room is made, as an error, and never as a fault in the middle of a line. Nothing is ever
struck out: a request that has a row in the ledger is done. When the file has grown, the lines of requests under way are carried over to
a new one, which takes its place by rename.

Why not a table: an insert and a delete with their commit cost 18 to 48 µs of CPU in SQLite, by batch size; a line by write(2) costs 3, and
15 under load; a line here costs 1.
"""

import mmap
import os
import re
import zlib
from contextlib import suppress
from pathlib import Path

from ollm.errors import StoreError
from ollm.store.files import private_file
from ollm.values.ledger import Intent

ROTATE_BYTES = 4 * 1024 * 1024  # about 20,000 requests: read back in some 50 ms at start
_ROOM = 256 * 1024  # bytes that the file grows by
_ZERO = b"\0"

_NAME = r"[A-Za-z0-9._/:@+-]"
_ROUTE = rf"([a-z0-9]{{1,32}}) ([a-z0-9_]{{1,32}}) ({_NAME}{{1,128}}) ({_NAME}{{1,128}}) (tee|zdr|simulated) (-|[0-9a-f]{{64}})"
_BODY = re.compile(rf"([0-9a-f]{{32}}) {_ROUTE} ([0-9]{{1,15}}) (-|[0-9]{{1,18}})", re.ASCII)

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MAX_MS = 10**15
_MAX_MICRO = 10**18
_MAX_ROUTES = 4096
_FOREIGN = "an intent holds what is neither an id of ours nor a name from the configuration"
_Route = tuple[str, str, str, str, str, str | None]


class Journal:
    """The intents of requests under way. Used from one thread. `under_way` counts them."""

    def __init__(self, path: Path, installation_id: str) -> None:
        """Open or make the file at `path`. Raises: StoreError when it belongs to another installation."""
        private_file(path)
        self._path = path
        self._head = f"ollm-intents 3 {installation_id}\n".encode()
        self._lines: dict[str, bytes] = {}
        self._routes: dict[_Route, str] = {}
        found = path.read_bytes().rstrip(_ZERO)
        if found and not found.startswith(self._head):
            raise StoreError(f"{path} holds intents of another installation or version", "put it back beside its own database, or remove it")
        self.unreadable = 0  # lines that a torn write or power loss left behind
        self.found = self._parse(found[len(self._head) :])
        self._size = len(found)
        self._map = _mapped(path, self._size + _ROOM)
        self._rotate_at = ROTATE_BYTES
        if not found.endswith(b"\n"):
            self._append(b"\n" if found else self._head)  # after a torn line, begin a new one

    @property
    def under_way(self) -> int:
        return len(self._lines)

    def add(self, intent: Intent) -> None:
        """Write the intent. Raises: StoreError when it can't be written; then the request must not be sent."""
        route = (intent.key_id, intent.project, intent.model, intent.upstream, intent.level, intent.session_id)
        words = self._routes.get(route)
        if words is None:
            words = self._judged(route)
        started = intent.started_ms
        reserved = intent.reserved_micro
        if _ID.fullmatch(intent.request_id) is None or type(started) is not int or not 0 <= started < _MAX_MS:
            raise StoreError(_FOREIGN)
        if reserved is not None and (type(reserved) is not int or not 0 <= reserved < _MAX_MICRO):
            raise StoreError(_FOREIGN)
        encoded = f"{intent.request_id} {words} {started} {'-' if reserved is None else reserved}".encode()
        line = b"%b %08x\n" % (encoded, zlib.crc32(encoded))
        self._append(line)
        self._lines[intent.request_id] = line

    def _judged(self, route: _Route) -> str:
        """The middle of a line, judged once for each caller and session. Raises: StoreError."""
        key_id, project, model, upstream, level, session_id = route
        words = f"{key_id} {project} {model} {upstream} {level} {session_id or '-'}"
        if _BODY.fullmatch(f"{'0' * 32} {words} 0 -") is None:
            raise StoreError(_FOREIGN)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[route] = words
        return words

    def settle(self, request_id: str) -> None:
        """The request has its row in the ledger."""
        self._lines.pop(request_id, None)
        if self._size > self._rotate_at:
            # The request is safe in the ledger whether or not this works; the next attempt is far off.
            with suppress(StoreError):
                self._carry_over()
            self._rotate_at = max(ROTATE_BYTES, 2 * self._size)

    def clear(self) -> None:
        """Forget what was found at start: it is in the ledger now. Raises: StoreError."""
        self.found = []
        self._carry_over()

    def close(self) -> None:
        self._map.close()

    def _append(self, data: bytes) -> None:
        end = self._size + len(data)
        if end > len(self._map):
            larger = _mapped(self._path, end + _ROOM)
            self._map.close()
            self._map = larger
        self._map[self._size : end] = data
        self._size = end

    def _carry_over(self) -> None:
        data = self._head + b"".join(self._lines.values())
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            private_file(fresh)
            fresh.write_bytes(data)
            mapped = _mapped(fresh, len(data) + _ROOM)
            os.replace(fresh, self._path)
        except OSError as error:
            raise _unwritable(error) from None
        self._map.close()
        self._map, self._size = mapped, len(data)

    def _parse(self, data: bytes) -> list[Intent]:
        intents = []
        for line in data.split(b"\n"):
            body, _, crc = line.rpartition(b" ")
            match = _BODY.fullmatch(body.decode("ascii", "replace"))
            if match is not None and crc == b"%08x" % zlib.crc32(body):
                intents.append(_intent(match))
            elif line:
                self.unreadable += 1
        return intents


def _mapped(path: Path, size: int) -> mmap.mmap:
    """The file at `path`, with room for `size` bytes that is really there, as memory. Raises: StoreError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(file, 0, size)
            return mmap.mmap(file, 0)
        finally:
            os.close(file)  # the map holds the file
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> StoreError:
    return StoreError(f"can't write intents: {error.strerror}", "make room on the disk")


def _intent(match: re.Match[str]) -> Intent:
    request_id, key_id, project, model, upstream, level, session_id, started_ms, reserved = match.groups()
    session = None if session_id == "-" else session_id
    held = None if reserved == "-" else int(reserved)
    return Intent(request_id, key_id, model, upstream, level, session, int(started_ms), project, held)
