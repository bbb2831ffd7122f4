"""dstack's event log: what was extended into RTMR0 to RTMR3, replayed and never trusted before that.

Each event is {imr 0..3, event_type u32, digest 96 hex, event, event_payload hex}. A register is SHA-384 over register and
digest, event by event, from 48 zeros. Of events in RTMR0-2 (firmware, kernel) only the digest is authentic, and the payload of those
that the TCG says are measured as they stand. RTMR3 holds runtime events alone (type 0x08000001), whose digest we compute ourselves:

    version 1, or none: SHA-384(event_type as u32, little endian | ":" | event | ":" | payload)
    version 2:          SHA-384(JCS of {"name": event, "payload": hex, "type": 134217729}), with exactly these bytes in `preimage`

Newer agents leave runtime digests empty. A name that holds ":" is refused in version 1, because the digest could not tell where it
ends. After `system-ready` applications may add events of any name, so only what stands before it describes the boot.

Source: Dstack-TEE/dstack, cc-eventlog (runtime_events.rs, tdx.rs) and dstack-util/system_setup.rs.
"""

import hashlib
import re

import msgspec

from ollm.attest import strict_json
from ollm.attest.tdx import tcg
from ollm.attest.tdx.layout import TdReport
from ollm.errors import EvidenceRefused
from ollm.values.jcs import canonical
from ollm.values.structs import resolved

RUNTIME_EVENT = 0x08000001
SYSTEM_READY = "system-ready"
MAX_LOG = 1024 * 1024
MAX_EVENTS = 4096
_FORMAT = "event_log.format"
_REPLAY = "event_log.replay"
_DIGEST = re.compile(r"[0-9a-f]{96}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@resolved
class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry as the agent writes it. `preimage`, in hex, belongs to version 2 of the digest."""

    imr: int
    event_type: int
    digest: str
    event: str
    event_payload: str
    version: int = 1
    preimage: str | None = None


class RuntimeEvent(msgspec.Struct, frozen=True):
    """A runtime event whose name and payload are proven by RTMR3."""

    name: str
    payload: bytes


def parse(text: str) -> tuple[Event, ...]:
    """The log's events, well-formed but not yet believed. Raises: EvidenceRefused with event_log.format."""
    document = strict_json.parse(text, limit=MAX_LOG, check=_FORMAT)
    try:
        events = msgspec.convert(document, tuple[Event, ...])
    except msgspec.ValidationError:
        raise EvidenceRefused(_FORMAT, "JSON that is no event log", "a list of dstack events") from None
    if len(events) > MAX_EVENTS:
        raise EvidenceRefused(_FORMAT, f"{len(events)} events", f"at most {MAX_EVENTS}")
    for index, event in enumerate(events):
        _check_form(event, index)
    return events


def replay(events: tuple[Event, ...], report: TdReport) -> tuple[RuntimeEvent, ...]:
    """The log leads to the very registers of the report; its runtime events, in order. Raises: EvidenceRefused with event_log.replay."""
    registers = [bytes(48)] * 4
    runtime: list[RuntimeEvent] = []
    for index, event in enumerate(events):
        if (event.event_type == RUNTIME_EVENT) != (event.imr == 3):
            raise EvidenceRefused(
                _REPLAY, f"event {index} of type {event.event_type:#x} in RTMR{event.imr}", "runtime events in RTMR3, all others below"
            )
        if event.imr == 3:
            runtime.append(RuntimeEvent(event.event, bytes.fromhex(event.event_payload)))
            digest = _runtime_digest(event, index)
        else:
            digest = _firmware_digest(event, index)
        registers[event.imr] = hashlib.sha384(registers[event.imr] + digest).digest()
    for imr, (replayed, measured) in enumerate(zip(registers, report.rtmrs, strict=True)):
        if replayed != measured:
            raise EvidenceRefused(_REPLAY, f"RTMR{imr} {replayed.hex()}", measured.hex())
    return tuple(runtime)


def boot_payloads(events: tuple[RuntimeEvent, ...], name: str) -> tuple[bytes, ...]:
    """Payloads of all events called `name` before the first `system-ready`, in order: for the names that dstack uses more than once."""
    names = [event.name for event in events]
    boot = events[: names.index(SYSTEM_READY)] if SYSTEM_READY in names else ()
    return tuple(event.payload for event in boot if event.name == name)


def boot_payload(events: tuple[RuntimeEvent, ...], name: str, check: str) -> bytes:
    """Payload of the one event called `name`, which must stand before the first `system-ready` and nowhere else.

    Raises: EvidenceRefused naming `check`.
    """
    names = [event.name for event in events]
    if names.count(name) != 1:
        raise EvidenceRefused(check, f"{names.count(name)} {name} events", "one")
    if SYSTEM_READY not in names[names.index(name) :]:
        raise EvidenceRefused(check, f"a {name} event that no {SYSTEM_READY} follows", "one of a completed boot")
    if SYSTEM_READY in names[: names.index(name)]:
        raise EvidenceRefused(check, f"a {name} event after {SYSTEM_READY}", "one from before applications ran")
    return events[names.index(name)].payload


def _check_form(event: Event, index: int) -> None:
    if not 0 <= event.imr <= 3 or not 0 <= event.event_type < 2**32:
        raise EvidenceRefused(_FORMAT, f"event {index} with register {event.imr} and type {event.event_type}", "registers 0 to 3, types of 32 bits")
    if event.version not in (1, 2) or (event.imr != 3 and event.version != 1):
        raise EvidenceRefused(_FORMAT, f"event {index} of version {event.version}", "version 1, or 2 in RTMR3")
    if (event.preimage is None) != (event.version == 1):
        raise EvidenceRefused(_FORMAT, f"event {index} of version {event.version} and its preimage", "a preimage in version 2 and only there")
    if event.digest and not _DIGEST.fullmatch(event.digest):
        raise EvidenceRefused(_FORMAT, f"event {index} with a malformed digest", "96 lowercase hex characters")
    if not _HEX.fullmatch(event.event_payload):
        raise EvidenceRefused(_FORMAT, f"event {index} with a malformed payload", "lowercase hex")
    if event.imr != 3 and not event.digest:
        raise EvidenceRefused(_FORMAT, f"event {index} without a digest", "one, as its payload proves nothing")
    if event.imr == 3 and event.version == 1 and ":" in event.event:
        raise EvidenceRefused(_FORMAT, f"event {index} with a colon in its name", "a name that its digest delimits")


def _firmware_digest(event: Event, index: int) -> bytes:
    """The digest that the log states. A payload may be left out, but not be another than was measured, where that can be told."""
    digest, payload = bytes.fromhex(event.digest), bytes.fromhex(event.event_payload)
    if payload and not tcg.explains(event.event_type, payload, digest):
        raise EvidenceRefused(_REPLAY, f"event {index} with the digest of another payload", "the digest of its payload")
    return digest


def _runtime_digest(event: Event, index: int) -> bytes:
    preimage = _preimage(event)
    if event.preimage is not None and event.preimage != preimage.hex():
        raise EvidenceRefused(_REPLAY, f"event {index} with the preimage of another", "that of its own name and payload")
    digest = hashlib.sha384(preimage).digest()
    if event.digest and event.digest != digest.hex():
        raise EvidenceRefused(_REPLAY, f"event {index} with the digest of another", "the digest of its own name and payload")
    return digest


def _preimage(event: Event) -> bytes:
    if event.version == 2:
        return canonical({"name": event.event, "payload": event.event_payload, "type": RUNTIME_EVENT})
    return RUNTIME_EVENT.to_bytes(4, "little") + b":" + event.event.encode() + b":" + bytes.fromhex(event.event_payload)
