"""Collateral as one file, to be carried to a machine without a network: a plain tar, the same bytes for the same copies.

    MANIFEST.json                {"format": "ollm-collateral-archive/1", "artefacts": [{"file": …, "sha256": …, "bytes": …, "kind": …, …}]}
    artefacts/<digest>.json      a record (record.py)

Members are sorted by name, owned by nobody, of 1970. An archive is untrusted: its manifest finds damage, and proves nothing. What it
holds is judged like anything that is fetched, and no kind that is believed for its TLS connection is in it. Nothing is ever written
under a name that the archive chose.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable
from typing import Literal

import msgspec

from ollm.errors import CollateralError, StoreError
from ollm.net.collateral import record
from ollm.net.collateral.artefact import Artefact
from ollm.net.collateral.shelf import Shelf, row
from ollm.values.structs import resolved

FORMAT = "ollm-collateral-archive/1"
MANIFEST = "MANIFEST.json"
MAX_ARCHIVE = 256 * 1024 * 1024
_MAX_MEMBERS = 4096
_MEMBER = re.compile(r"artefacts/([0-9a-f]{64})\.json")
_MEND = "make it anew with `ollm collateral export`"

Outcome = Literal["added", "replaced", "unchanged", "older", "ended"]


@resolved
class _Line(msgspec.Struct, frozen=True):
    file: str
    sha256: str
    bytes: int


@resolved
class _Manifest(msgspec.Struct, frozen=True):
    format: str
    artefacts: tuple[_Line, ...]


def pack(copies: Iterable[Artefact]) -> bytes:
    """An archive of `copies`; what may not be stored is left out."""
    members: dict[str, bytes] = {}
    lines = []
    for copy in sorted((copy for copy in copies if copy.key.traits.stored), key=lambda copy: copy.key.digest):
        name, data = f"artefacts/{copy.key.digest}.json", record.encode(copy)
        members[name] = data
        lines.append({**row(copy), "file": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    manifest = msgspec.json.format(msgspec.json.encode({"format": FORMAT, "artefacts": lines}), indent=1) + b"\n"
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in {MANIFEST: manifest, **members}.items():
            member = tarfile.TarInfo(name)  # time 0, owner 0, no names
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


def unpack(data: bytes, now: int) -> list[Artefact]:
    """The copies in an archive, in the order of its manifest. Raises: StoreError for one that `pack` would not have made."""
    members = _members(data)
    try:
        manifest = msgspec.json.decode(members.pop(MANIFEST), type=_Manifest)
    except (KeyError, msgspec.MsgspecError, ValueError, RecursionError):
        raise StoreError("the archive has no manifest that can be read", _MEND) from None
    if manifest.format != FORMAT:
        raise StoreError(f"the archive is of the unknown format {manifest.format[:40]!a}", "use the release of ollm that made it")
    copies = []
    for line in manifest.artefacts:
        body = members.pop(line.file, None)
        name = _MEMBER.fullmatch(line.file)
        if body is None or name is None or len(body) != line.bytes or hashlib.sha256(body).hexdigest() != line.sha256:
            raise StoreError(f"the archive is damaged at {line.file[:80]!a}", _MEND)
        try:
            copies.append(record.decode(body, name[1], now))
        except CollateralError as problem:
            raise StoreError(f"the archive holds {problem.reason} at {line.file!a}", _MEND) from None
    if members:
        raise StoreError(f"the archive holds {len(members)} files that its manifest doesn't name", _MEND)
    return copies


def _members(data: bytes) -> dict[str, bytes]:
    """Plain files of a tar by name, each name once. Raises: StoreError."""
    if len(data) > MAX_ARCHIVE:
        raise StoreError(f"the archive is larger than {MAX_ARCHIVE} bytes", "carry less at once")
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if not member.isreg() or member.sparse is not None or member.name in members or len(members) > _MAX_MEMBERS:
                    raise StoreError(f"the archive holds something that doesn't belong there: {member.name[:80]!a}", _MEND)
                if member.name != MANIFEST and not _MEMBER.fullmatch(member.name):
                    raise StoreError(f"the archive holds a file of another name: {member.name[:80]!a}", _MEND)
                file = archive.extractfile(member)
                members[member.name] = file.read() if file is not None else b""
    except (tarfile.TarError, ValueError, EOFError, OverflowError):
        raise StoreError("the file is no archive of collateral", _MEND) from None
    return members


def bring(shelf: Shelf, copies: Iterable[Artefact], now: int) -> list[tuple[Artefact, Outcome]]:
    """Put `copies` on `shelf` where they are newer than what is there. Raises: StoreError."""
    outcomes: list[tuple[Artefact, Outcome]] = []
    for copy in copies:
        held = shelf.read(copy.key, now)
        outcome: Outcome = "added"
        if now >= copy.term.end:
            outcome = "ended"
        elif held is not None:
            outcome = _against(copy, held)
        outcomes.append((copy, outcome))
    wanted = [copy for copy, outcome in outcomes if outcome in ("added", "replaced")]
    if wanted:
        shelf.write_all(wanted, now)
    return outcomes


def _against(copy: Artefact, held: Artefact) -> Outcome:
    if copy.body == held.body and copy.headers == held.headers:
        return "unchanged"
    if copy.term.before(held.term) or (not held.term.before(copy.term) and copy.fetched_at < held.fetched_at):
        return "older"
    return "replaced"
