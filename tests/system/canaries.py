"""Marks that a run puts into everything a client or provider can say, and the search for them wherever something could be kept.

A mark is `<head>-<kind>-<tail>`: head and tail are 130 random bits each, the same for the whole run, so that a mark is found
by either end even where it was cut, and the kind in the middle tells what leaked. Searched are the nearest 16 characters
of both ends, in each of FORMS. Of whole bodies, the SHA-256 is searched: it would let a guess of a short prompt be confirmed.
"""

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_PROBE = 16  # characters: 80 random bits
_CONTEXT = 60
_LARGEST = 64 * 1024 * 1024
_SHARED = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))


class Leak(NamedTuple):
    sink: str
    form: str
    context: bytes


class Sink(NamedTuple):
    """A place where something could be kept, and what is in it."""

    name: str
    data: bytes


def _token() -> str:
    return base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]


def _base64_inside(probe: bytes, offset: int) -> bytes:
    """The characters of a Base64 text that come from `probe` alone, when `offset` (modulo 3) bytes stand before it."""
    whole = base64.b64encode(bytes(offset) + probe)
    return whole[(offset * 8 + 5) // 6 : (offset + len(probe)) * 8 // 6]


def forms(probe: bytes) -> dict[str, bytes]:
    """`probe` (lowercase ASCII) as software writes text. Letter case is no matter: what is searched is lowered as well."""
    text = probe.decode()
    return {
        "raw": probe,
        **{f"base64 at {offset}": _base64_inside(probe, offset) for offset in range(3)},
        "hex": probe.hex().encode(),
        "percent-encoded": "".join(f"%{byte:02x}" for byte in probe).encode(),
        "\\u-escaped": "".join(f"\\u{byte:04x}" for byte in probe).encode(),
        "\\x-escaped": "".join(f"\\x{byte:02x}" for byte in probe).encode(),
        "UTF-16": text.encode("utf-16-le"),
        "UTF-16 big-endian": text.encode("utf-16-be"),
        "UTF-32": text.encode("utf-32-le"),
        "character codes": ", ".join(str(byte) for byte in probe).encode(),
    }


def digests(body: bytes) -> dict[str, bytes]:
    """SHA-256 of `body` as software writes digests, and the beginnings that abbreviations keep."""
    digest = hashlib.sha256(body).digest()
    return {"SHA-256": digest, "SHA-256 in hex": digest.hex()[:16].encode(), "SHA-256 in base64": base64.b64encode(digest)[:16]}


FORMS = tuple(forms(b"a" * _PROBE))
_FOLDED = {"raw", "hex", "percent-encoded", "\\u-escaped", "\\x-escaped"}


class Canaries:
    """The marks of one run, and everything that must not be found after it."""

    def __init__(self) -> None:
        self.head, self.tail = _token(), _token()
        self._patterns: list[tuple[str, bytes, bool]] = []
        self.secret("head", self.head[:_PROBE])
        self.secret("tail", self.tail[-_PROBE:])
        self._bodies: set[bytes] = set()

    def mark(self, kind: str) -> str:
        return f"{self.head}-{kind}-{self.tail}"

    def secret(self, name: str, text: str) -> None:
        """Also search for `text`, which is no mark: its first 16 characters, in each form. Mixed case is searched as it is."""
        probe = text[:_PROBE].encode()
        self._patterns += [(f"{name}, {form}", pattern, form in _FOLDED and probe.islower()) for form, pattern in forms(probe).items()]

    def binary(self, name: str, data: bytes) -> None:
        """Also search for these bytes, as they are and in hex."""
        self._patterns += [(name, data, False), (f"{name}, hex", data.hex().encode(), True)]

    def body(self, data: bytes) -> None:
        """Also search for the digest of this whole body."""
        if data and data not in self._bodies:
            self._bodies.add(data)
            self._patterns += [(form, pattern, False) for form, pattern in digests(data).items()]

    def leaks(self, sinks: Iterable[Sink]) -> list[Leak]:
        """Every form that is in one of `sinks`, with what stands around it."""
        found = []
        for sink in sinks:
            lowered = sink.data.lower()
            for form, pattern, folded in self._patterns:
                at = (lowered if folded else sink.data).find(pattern)
                if at >= 0:
                    found.append(Leak(sink.name, form, sink.data[max(0, at - _CONTEXT) : at + len(pattern) + _CONTEXT]))
        return found


# Sinks


def files_below(directory: Path, *, since: float = 0.0, depth: int = 99) -> Iterator[Sink]:
    """Regular files below `directory` that changed at or after `since` (Unix seconds); also their names."""
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return  # not ours to read, or gone meanwhile
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth > 0:
                    yield from files_below(Path(entry.path), since=since, depth=depth - 1)
                continue
            state = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(state.st_mode) and state.st_mtime >= since and state.st_size <= _LARGEST:
                yield Sink(entry.path, entry.name.encode() + b"\0" + Path(entry.path).read_bytes())
        except OSError:
            continue


def shared_places(since: float) -> Iterator[Sink]:
    """Files in the machine's folders for temporary and shared files that changed at or after `since`."""
    for place in _SHARED:
        yield from files_below(place, since=since, depth=1)


def of_process(pid: int) -> Iterator[Sink]:
    """What others can see of a process, and what it holds open that has no name (any more): deleted and anonymous files.

    Only root may look into a process that protects itself as `ollm serve` does; others find less, as an attacker would.
    """
    base = Path(f"/proc/{pid}")
    for name in ("environ", "cmdline", "comm"):
        yield from _readable(base / name)
    for task in _listed(base / "task"):
        yield from _readable(task / "comm")
    for descriptor in _listed(base / "fd"):
        try:
            if stat.S_ISREG(descriptor.stat().st_mode) and not Path(os.readlink(descriptor)).exists():
                yield Sink(f"{descriptor} {os.readlink(descriptor)}", descriptor.read_bytes())
        except OSError:
            continue


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _readable(path: Path) -> Iterator[Sink]:
    try:
        yield Sink(str(path), path.read_bytes())
    except OSError:
        return
