"""The audit log as anybody can check it: a chain of digests, and on each digest a MAC that only the installation can make.

    {"installation_id":"4be1…","object":"ollm.audit_log","version":1}
    {"action":…,"actor":…,"at":…,"changes":{…},"digest":"…","entry":1,"mac":"…","project":…,"target":…}
    …

One line for each event, oldest first. The chain alone shows change, removal and reordering inside the log; the MACs also show a chain that was
built anew by somebody who can write the database. That events were cut off at the end shows only to who remembers a head from before.
"""

import hmac
import re
from typing import Any

import msgspec

from ollm.errors import EvidenceRefused, WireError
from ollm.values.audit import ACTIONS, AuditEvent, chain_start
from ollm.values.hexes import Hex32, hex32
from ollm.values.jcs import canonical

MAX_LINE = 256 * 1024  # bytes; terms with hundreds of names are some kilobytes
_VERSION = 1
_INSTALLATION = re.compile(r"[0-9a-f]{32}")
_HEAD = re.compile(r"[0-9]{1,15}")
_MAC_CONTEXT = b"ollm.store.audit.v1\0"

# What is checked, in this order, and what it proves. Names are stable.
STEPS = {
    "audit.format": "the log begins with its header, and each line is one event of known form",
    "audit.entry": "events are numbered from 1 without a gap: none is missing before the last one, and none stands elsewhere",
    "audit.digest": "each event's digest is that of its fields and of the digest before it, from the id of the installation on",
    "audit.mac": "each digest has the MAC of the installation's row key: nobody without that key built this chain",
    "audit.head": "the event that was remembered is in the log, as it was",
}


class Logged(msgspec.Struct, frozen=True):
    """An event as it is kept: with its digest, and the MAC over that."""

    event: AuditEvent
    digest: Hex32
    mac: bytes

    def line(self) -> bytes:
        """The event as a line of an exported log, without the newline."""
        return canonical({**msgspec.to_builtins(self.event), "digest": self.digest, "mac": self.mac.hex()})


class Head(msgspec.Struct, frozen=True):
    """The last event of a log, to be remembered outside: whoever has it sees when events are cut off later."""

    entry: int  # 0: there are none
    digest: Hex32

    def __str__(self) -> str:
        return f"{self.entry}:{self.digest}"


def logged(event: AuditEvent, previous: Hex32, row_key: bytes) -> Logged:
    """`event` with its digest and MAC. Raises: WireError when its changes have no canonical form."""
    digest = event.digest(previous)
    return Logged(event, digest, mac_of(digest, row_key))


def mac_of(digest: Hex32, row_key: bytes) -> bytes:
    """HMAC-SHA-256 over an event's digest."""
    return hmac.digest(row_key, _MAC_CONTEXT + bytes.fromhex(digest), "sha256")


def header_line(installation_id: str) -> bytes:
    """The first line of an exported log, without the newline."""
    return canonical({"object": "ollm.audit_log", "version": _VERSION, "installation_id": installation_id})


def parse_header(line: bytes) -> str:
    """The installation id in the first line. Raises: EvidenceRefused audit.format."""
    found = _object(line, 1)
    installation = found.get("installation_id")
    if found != {"object": "ollm.audit_log", "version": _VERSION, "installation_id": installation}:
        raise _unreadable(1, "no header of an audit log of version 1")
    if not isinstance(installation, str) or not _INSTALLATION.fullmatch(installation):
        raise _unreadable(1, "no installation id")
    return installation


def parse_line(line: bytes, number: int) -> Logged:
    """The event in line `number`. Raises: EvidenceRefused audit.format."""
    found = _object(line, number)
    try:
        digest, mac = hex32(found.pop("digest")), bytes.fromhex(hex32(found.pop("mac")))
        event = msgspec.convert(found, AuditEvent)
    except (KeyError, TypeError, WireError, msgspec.ValidationError):
        raise _unreadable(number, "no event: a member is missing or of another type") from None
    if set(found) != set(AuditEvent.__struct_fields__):
        raise _unreadable(number, "no event: it has other members")
    if event.action not in ACTIONS:
        raise _unreadable(number, "an action that isn't known")
    return Logged(event, digest, mac)


def parse_head(text: str) -> Head:
    """A head as it is printed, ENTRY:DIGEST. Raises: WireError."""
    entry, _, digest = text.partition(":")
    if not _HEAD.fullmatch(entry):
        raise WireError("a head is the number of an event, a colon and 64 hexadecimal characters")
    return Head(int(entry), hex32(digest))


class Chain:
    """Takes the events of a log one by one, oldest first, and refuses what doesn't fit. Holds one event at a time."""

    def __init__(self, installation_id: str, row_key: bytes | None, remembered: Head | None = None) -> None:
        """`row_key` None: MACs are not checked. `remembered`: a head from before, which must be in the log."""
        self._row_key = row_key
        self._remembered = remembered
        self.head = Head(0, chain_start(installation_id))
        self._meet()

    def take(self, entry: Logged) -> None:
        """The next event. Raises: EvidenceRefused with the step that failed."""
        event, want = entry.event, self.head.entry + 1
        # 1. Its place.
        if event.entry != want:
            raise EvidenceRefused("audit.entry", f"event {event.entry}", f"event {want}")
        # 2. Its fields, and all that stands before it.
        try:
            digest = event.digest(self.head.digest)
        except WireError as problem:
            raise EvidenceRefused("audit.format", f"event {want}: {problem.reason}", "values with a canonical form") from None
        if digest != entry.digest:
            raise EvidenceRefused("audit.digest", f"event {want} hashes to {digest[:16]}…", f"{entry.digest[:16]}…, as it was kept")
        # 3. Who wrote it.
        if self._row_key is not None and not hmac.compare_digest(mac_of(digest, self._row_key), entry.mac):
            raise EvidenceRefused("audit.mac", f"event {want} has another MAC", "the MAC of this installation's row key")
        self.head = Head(event.entry, digest)
        # 4. What was remembered.
        self._meet()

    def _meet(self) -> None:
        if self._remembered is not None and self._remembered.entry == self.head.entry and self._remembered != self.head:
            raise EvidenceRefused(
                "audit.head", f"event {self.head.entry} is {self.head.digest[:16]}…", f"{self._remembered.digest[:16]}…, as remembered"
            )

    def end(self) -> Head:
        """The head, after the last event. Raises: EvidenceRefused audit.head where the log ends before what was remembered."""
        if self._remembered is not None and self._remembered.entry > self.head.entry:
            raise EvidenceRefused("audit.head", f"the log ends with event {self.head.entry}", f"event {self._remembered.entry}, as remembered")
        return self.head


def _object(line: bytes, number: int) -> dict[str, Any]:
    """`line` as an object, if it is the canonical form of it: then no two readers can disagree."""
    if len(line) > MAX_LINE:
        raise _unreadable(number, f"more than {MAX_LINE} bytes")
    try:
        found = msgspec.json.decode(line)
        if isinstance(found, dict) and canonical(found) == line:
            return found
    except (msgspec.DecodeError, WireError, RecursionError):
        pass
    raise _unreadable(number, "no JSON object in canonical form")


def _unreadable(number: int, got: str) -> EvidenceRefused:
    return EvidenceRefused("audit.format", f"line {number}: {got}", "a line of an exported audit log")
