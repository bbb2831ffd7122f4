"""Which events of a firmware's log carry what was measured."""

import hashlib

import pytest

from ollm.attest.tdx import tcg
from ollm.attest.tdx.tcg import Variable, explains, variable

GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")


def uefi_variable(name: str, data: bytes, guid: bytes = GLOBAL) -> bytes:
    return guid + len(name).to_bytes(8, "little") + len(data).to_bytes(8, "little") + name.encode("utf-16-le") + data


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


@pytest.mark.parametrize(
    "event_type", [0x4, 0x5, 0x8, 0x12, 0x80000001, 0x80000006, 0x80000007, 0x8000000C, 0x800000E0], ids=lambda event_type: f"{event_type:#x}"
)
def test_data_that_is_measured_as_it_stands_has_the_events_digest(event_type: int) -> None:
    assert explains(event_type, b"data", sha384(b"data"))
    assert not explains(event_type, b"atad", sha384(b"data"))


@pytest.mark.parametrize("event_type", [0x6, 0x9, 0xA, 0xD, 0x80000003, 0x80000008, 0x8000000A, 0x8000000B, 0x08000001])
def test_of_other_events_nothing_can_be_said(event_type: int) -> None:
    assert explains(event_type, b"a description", sha384(b"data"))


def test_a_boot_variable_is_measured_without_its_structure() -> None:
    entry = uefi_variable("Boot0000", b"entry")

    assert explains(tcg.EV_EFI_VARIABLE_BOOT, entry, sha384(b"entry"))
    assert not explains(tcg.EV_EFI_VARIABLE_BOOT, entry, sha384(entry))
    assert not explains(tcg.EV_EFI_VARIABLE_BOOT, b"entry", sha384(b"entry"))


def test_a_variable_has_a_guid_a_name_and_data() -> None:
    assert variable(uefi_variable("db", b"keys")) == Variable(GLOBAL, "db", b"keys")
    assert variable(uefi_variable("", b"")) == Variable(GLOBAL, "", b"")


@pytest.mark.parametrize("data", [b"", bytes(31), uefi_variable("db", b"keys")[:-1], uefi_variable("db", b"keys") + b"x", GLOBAL + b"\xff" * 16])
def test_what_is_no_variable_is_none(data: bytes) -> None:
    assert variable(data) is None


def test_secure_boot_is_a_variable_of_uefis_own() -> None:
    assert Variable(GLOBAL, "SecureBoot", b"").secure_boot
    assert not Variable(bytes(16), "SecureBoot", b"").secure_boot
    assert not Variable(GLOBAL, "PK", b"").secure_boot


def test_a_name_that_is_no_text_is_another_name() -> None:
    found = variable(GLOBAL + (1).to_bytes(8, "little") + bytes(8) + b"\x00\xd8")

    assert found is not None
    assert not found.secure_boot
