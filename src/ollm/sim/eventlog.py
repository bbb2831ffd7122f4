"""Event logs as dstack's guest agent gives them, and the registers that they replay to.

An event is {imr: 0..3, event_type, digest: 96 hex, event, event_payload: hex}; register `imr` becomes SHA384(register ‖ digest).
Firmware and kernel measure into RTMR0 to 2; the guest's runtime events go to RTMR3 and their digest can be recomputed from
their members: SHA384(type as u32 LE ‖ ":" ‖ event ‖ ":" ‖ payload). Source: dstack, cc-eventlog and tdx-attest.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

RUNTIME_EVENT = 0x08000001  # dstack's own event type, on RTMR3

# TCG PC Client Platform Firmware Profile §10.4.1
_EV_SEPARATOR, _EV_EVENT_TAG, _EV_PLATFORM_CONFIG_FLAGS = 0x4, 0x6, 0xA
_EV_EFI_VARIABLE_DRIVER_CONFIG, _EV_EFI_VARIABLE_BOOT, _EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000001, 0x80000002, 0x80000003
_EV_EFI_ACTION, _EV_EFI_PLATFORM_FIRMWARE_BLOB2, _EV_EFI_HANDOFF_TABLES2 = 0x80000007, 0x8000000A, 0x8000000B


_EFI_GLOBAL_VARIABLE = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")


class Event(msgspec.Struct, frozen=True):
    """One event; member names are those of the JSON."""

    imr: int
    event_type: int
    digest: str
    event: str
    event_payload: str


# What each stage of a boot measures, in order: register, type, name. Contents differ from build to build; names do not.
_BOOT: tuple[tuple[int, int, str], ...] = (
    (0, _EV_EFI_HANDOFF_TABLES2, "td-hob"),
    (0, _EV_EFI_PLATFORM_FIRMWARE_BLOB2, "configuration-firmware-volume"),
    (0, _EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot"),
    (0, _EV_EFI_VARIABLE_DRIVER_CONFIG, "PK"),
    (0, _EV_EFI_VARIABLE_DRIVER_CONFIG, "KEK"),
    (0, _EV_EFI_VARIABLE_DRIVER_CONFIG, "db"),
    (0, _EV_EFI_VARIABLE_DRIVER_CONFIG, "dbx"),
    (0, _EV_SEPARATOR, "separator"),
    (0, _EV_PLATFORM_CONFIG_FLAGS, "acpi-loader"),
    (0, _EV_PLATFORM_CONFIG_FLAGS, "acpi-rsdp"),
    (0, _EV_PLATFORM_CONFIG_FLAGS, "acpi-tables"),
    (0, _EV_EFI_VARIABLE_BOOT, "BootOrder"),
    (0, _EV_EFI_VARIABLE_BOOT, "Boot0000"),
    (1, _EV_EFI_BOOT_SERVICES_APPLICATION, "kernel"),
    (1, _EV_EFI_ACTION, "Calling EFI Application from Boot Option"),
    (1, _EV_SEPARATOR, "separator"),
    (1, _EV_EFI_ACTION, "Exit Boot Services Invocation"),
    (1, _EV_EFI_ACTION, "Exit Boot Services Returned with Success"),
    (2, _EV_EVENT_TAG, "kernel-command-line"),
    (2, _EV_EVENT_TAG, "initrd"),
)


class Measurement(msgspec.Struct, frozen=True):
    """What firmware or kernel extends into register `imr`: the digest of `measured`. `told` is what its log says about that."""

    imr: int
    event_type: int
    name: str
    measured: bytes
    told: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha384(self.measured).digest()


def boot_measurements(build: str) -> tuple[Measurement, ...]:
    """What a machine of `build` measures into RTMR0 to 2: the same on every machine of that build."""
    return tuple(_measurement(build, *stage) for stage in _BOOT)


def boot_events(build: str) -> tuple[Event, ...]:
    """`boot_measurements` as the guest agent gives them: payloads left out, as only the digest is authenticated."""
    return tuple(Event(each.imr, each.event_type, each.digest.hex(), each.name, "") for each in boot_measurements(build))


def _measurement(build: str, imr: int, event_type: int, name: str) -> Measurement:
    measured = f"simulated build {build}: {name}".encode()
    told = name.encode()  # of a table, volume or program the log only says which it is
    if event_type == _EV_SEPARATOR:
        measured = told = bytes(4)
    elif event_type == _EV_EFI_ACTION:
        measured = told
    elif event_type == _EV_EFI_VARIABLE_DRIVER_CONFIG:
        measured = told = _variable(name, b"\x01" if name == "SecureBoot" else measured)
    elif event_type == _EV_EFI_VARIABLE_BOOT:
        told = _variable(name, measured)
    return Measurement(imr, event_type, name, measured, told)


def _variable(name: str, data: bytes) -> bytes:
    """UEFI_VARIABLE_DATA: GUID 16 | length of the name in characters u64 | length of the data u64 | name, UTF-16LE | data."""
    return _EFI_GLOBAL_VARIABLE + len(name).to_bytes(8, "little") + len(data).to_bytes(8, "little") + name.encode("utf-16-le") + data


def runtime_event(name: str, payload: bytes = b"") -> Event:
    """An event that the guest's own software measures into RTMR3."""
    preimage = RUNTIME_EVENT.to_bytes(4, "little") + b":" + name.encode() + b":" + payload
    return Event(3, RUNTIME_EVENT, hashlib.sha384(preimage).hexdigest(), name, payload.hex())


def runtime_events(*, app_id: bytes, compose_hash: bytes, instance_id: bytes, key_provider: bytes) -> tuple[Event, ...]:
    """What a dstack guest without a key management service measures between its start and its application's."""
    return (
        runtime_event("system-preparing"),
        runtime_event("app-id", app_id),
        runtime_event("compose-hash", compose_hash),
        runtime_event("instance-id", instance_id),
        runtime_event("boot-mr-done"),
        runtime_event("key-provider", key_provider),
        runtime_event("system-ready"),
    )


def replay(events: Iterable[Event]) -> tuple[bytes, bytes, bytes, bytes]:
    """RTMR0 to 3 after `events`: what the simulated hardware measured."""
    registers = [bytes(48)] * 4
    for event in events:
        registers[event.imr] = hashlib.sha384(registers[event.imr] + bytes.fromhex(event.digest)).digest()
    return registers[0], registers[1], registers[2], registers[3]


def encode(events: Sequence[Event]) -> str:
    """The log as the guest agent gives it: JSON text of an array."""
    return msgspec.json.encode(events).decode()
