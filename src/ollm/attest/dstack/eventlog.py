"""dstack's event log: what was extended into RTMR0 to RTMR3, replayed and never trusted before that.

Each event is {imr 0..3, event_type u32, digest 96 hex, event, event_payload hex}. A register is SHA-384 over register and
digest, event by event, from 48 zeros. Of events in RTMR0-2 (firmware, kernel) only the digest is authentic. RTMR3 holds
runtime events alone (type 0x08000001), whose digest we compute ourselves:

    SHA-384(event_type as u32, little endian | ":" | event | ":" | payload)

Newer agents leave runtime digests empty. A name that holds ":" is refused, because the digest could not tell where it ends.
After `system-ready` applications may add events of any name, so only what stands before it describes the boot.

Source: Dstack-TEE/dstack, cc-eventlog and dstack-util/system_setup.rs (0.5 line). Version 2 of the event digest is not supported.
"""

import hashlib
import re

import msgspec

from ollm.attest import strict_json
from ollm.attest.tdx.layout import TdReport
from ollm.errors import EvidenceRefused

RUNTIME_EVENT = 0x08000001
COMPOSE_HASH = "compose-hash"
SYSTEM_READY = "system-ready"
MAX_LOG = 1024 * 1024
MAX_EVENTS = 4096
_CHECK = "event_log.format"
_MAY_REPEAT = frozenset({"init-script-hash"})  # an ordered list of scripts; all other boot events occur once
_DIGEST = re.compile(r"[0-9a-f]{96}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry as the agent writes it. `version` and `preimage` belong to later digests, which are refused."""

    imr: int
    event_type: int
    digest: str
    event: str
    event_payload: str
    version: int = 1
    preimage: str | None = None


class Extension(msgspec.Struct, frozen=True):
    """One extension of register `imr`: its digest and, for runtime events, the name and payload that the digest proves."""

    imr: int
    digest: bytes
    name: str | None
    payload: bytes


def parse(text: str) -> tuple[Extension, ...]:
    """The log's extensions, digests of runtime events computed by us. Raises: EvidenceRefused with event_log.format."""
    document = strict_json.parse(text, limit=MAX_LOG, check=_CHECK)
    try:
        events = msgspec.convert(document, tuple[Event, ...])
    except msgspec.ValidationError:
        raise EvidenceRefused(_CHECK, "JSON that is no event log", "a list of dstack events") from None
    if len(events) > MAX_EVENTS:
        raise EvidenceRefused(_CHECK, f"{len(events)} events", f"at most {MAX_EVENTS}")
    return tuple(_extension(event, index) for index, event in enumerate(events))


def replay(extensions: tuple[Extension, ...], report: TdReport) -> None:
    """The log leads to the very registers of the report. Raises: EvidenceRefused with event_log.replay."""
    for imr, measured in enumerate(report.rtmrs):
        register = bytes(48)
        for extension in extensions:
            if extension.imr == imr:
                register = hashlib.sha384(register + extension.digest).digest()
        if register != measured:
            raise EvidenceRefused("event_log.replay", f"RTMR{imr} {register.hex()}", measured.hex())


def boot_events(extensions: tuple[Extension, ...]) -> dict[str, bytes]:
    """Payloads by name of the runtime events before `system-ready`, each name once. Raises: EvidenceRefused with event_log.boot.

    The compose hash may not occur again later either: whoever looks for it by name must find one.
    """
    runtime = [extension for extension in extensions if extension.name is not None]
    names = [extension.name for extension in runtime]
    if SYSTEM_READY not in names:
        raise EvidenceRefused("event_log.boot", f"no {SYSTEM_READY} event", "a completed boot")
    if names.count(COMPOSE_HASH) > 1:
        raise EvidenceRefused("event_log.boot", f"{names.count(COMPOSE_HASH)} {COMPOSE_HASH} events", "one")
    boot: dict[str, bytes] = {}
    for extension in runtime[: names.index(SYSTEM_READY)]:
        if extension.name in boot and extension.name not in _MAY_REPEAT:
            raise EvidenceRefused("event_log.boot", f"a second {extension.name[:40]!a} event", "each once before system-ready")
        boot[str(extension.name)] = extension.payload
    return boot


def _extension(event: Event, index: int) -> Extension:
    if not 0 <= event.imr <= 3 or not 0 <= event.event_type < 2**32:
        raise EvidenceRefused(_CHECK, f"event {index} with register {event.imr} and type {event.event_type}", "registers 0 to 3, types of 32 bits")
    if event.version != 1 or event.preimage is not None:
        raise EvidenceRefused(_CHECK, f"event {index} of version {event.version}", "version 1")
    runtime = event.event_type == RUNTIME_EVENT
    if runtime != (event.imr == 3):
        raise EvidenceRefused(_CHECK, f"event {index} of type {event.event_type:#x} in RTMR{event.imr}", "runtime events in RTMR3, all others below")
    if event.digest and not _DIGEST.fullmatch(event.digest):
        raise EvidenceRefused(_CHECK, f"event {index} with a malformed digest", "96 lowercase hex characters")
    if not runtime:
        if not event.digest:
            raise EvidenceRefused(_CHECK, f"event {index} without a digest", "one, as its payload proves nothing")
        return Extension(event.imr, bytes.fromhex(event.digest), None, b"")
    return _runtime_extension(event, index)


def _runtime_extension(event: Event, index: int) -> Extension:
    if not _HEX.fullmatch(event.event_payload):
        raise EvidenceRefused(_CHECK, f"event {index} with a malformed payload", "lowercase hex")
    if ":" in event.event:
        raise EvidenceRefused(_CHECK, f"event {index} with a colon in its name", "a name that its digest delimits")
    name, payload = strict_json.encoded(event.event, _CHECK), bytes.fromhex(event.event_payload)
    digest = hashlib.sha384(event.event_type.to_bytes(4, "little") + b":" + name + b":" + payload).digest()
    if event.digest and event.digest != digest.hex():
        raise EvidenceRefused(_CHECK, f"event {index} with the digest of another", "the digest of its own name and payload")
    return Extension(3, digest, event.event, payload)
