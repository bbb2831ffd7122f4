"""What the TCG says of events in a firmware's log: which of them carry the very data that was measured.

Of other events the data only names or describes what was measured (a kernel, a table, a volume); it proves nothing.

    UEFI_VARIABLE_DATA: VariableName GUID 16 | UnicodeNameLength u64 | VariableDataLength u64 | name, UTF-16LE | data

Source: TCG PC Client Platform Firmware Profile 1.06, §10.2.6 and §10.4.1.
"""

import hashlib

import msgspec

EV_NO_ACTION = 0x3
EV_SEPARATOR = 0x4
EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
EV_EFI_VARIABLE_BOOT = 0x80000002

# Measured as they stand: EV_SEPARATOR, EV_ACTION, EV_S_CRTM_VERSION, EV_OMIT_BOOT_DEVICE_EVENTS, EV_EFI_VARIABLE_DRIVER_CONFIG,
# EV_EFI_GPT_EVENT, EV_EFI_ACTION, EV_EFI_VARIABLE_BOOT2, EV_EFI_VARIABLE_AUTHORITY.
_AS_IT_STANDS = frozenset(
    {EV_SEPARATOR, 0x5, 0x8, 0x12, EV_EFI_VARIABLE_DRIVER_CONFIG, 0x80000006, 0x80000007, 0x8000000C, 0x800000E0},
)
_EFI_GLOBAL_VARIABLE = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")


class Variable(msgspec.Struct, frozen=True):
    """A UEFI variable that was measured."""

    guid: bytes
    name: str
    data: bytes

    @property
    def secure_boot(self) -> bool:
        """Whether this is the switch of UEFI Secure Boot."""
        return self.guid == _EFI_GLOBAL_VARIABLE and self.name == "SecureBoot"


def variable(data: bytes) -> Variable | None:
    """The UEFI_VARIABLE_DATA in `data`; None when it is none."""
    name_size, data_size = int.from_bytes(data[16:24], "little") * 2, int.from_bytes(data[24:32], "little")
    if len(data) < 32 or len(data) != 32 + name_size + data_size:
        return None
    return Variable(data[:16], data[32 : 32 + name_size].decode("utf-16-le", "replace"), data[32 + name_size :])


def explains(event_type: int, data: bytes, digest: bytes) -> bool:
    """Whether `data` is what was measured, for events that carry it; True for all others, of which this can't be said."""
    if event_type in _AS_IT_STANDS:
        return hashlib.sha384(data).digest() == digest
    if event_type == EV_EFI_VARIABLE_BOOT:  # measured without the structure around it
        measured = variable(data)
        return measured is not None and hashlib.sha384(measured.data).digest() == digest
    return True
