"""The SGX extension, read back by an independent walk over its DER."""

import pytest

from ollm.sim.sgx_extension import PlatformIdentity, encode

PLATFORM = PlatformIdentity(
    ppid=bytes(range(16)),
    cpu_svn=bytes([0, 1, 127, 128, 255] + [3] * 11),
    pce_svn=13,
    fmspc=b"\xf0\xa0\x6d\x07\x00\x00",
    pce_id=b"\x00\x01",
    platform_instance_id=b"\xaa" * 16,
    dynamic_platform=True,
    cached_keys=False,
    smt_enabled=True,
)
ARC = bytes.fromhex("2a864886f84d010d01")


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each DER element in `data`; lengths must be minimal."""
    found = []
    while data:
        tag, size, start = data[0], data[1], 2
        if size & 0x80:
            octets = size & 0x7F
            size, start = int.from_bytes(data[2 : 2 + octets]), 2 + octets
            assert size >= 0x80
        assert len(data) >= start + size
        found.append((tag, data[start : start + size]))
        data = data[start + size :]
    return found


def members(sequence: bytes) -> dict[bytes, tuple[int, bytes]]:
    """OID suffix to (tag, content), for a SEQUENCE of SEQUENCE{OID, value}."""
    result = {}
    for tag, pair in elements(sequence):
        assert tag == 0x30
        (oid_tag, oid), value = elements(pair)
        assert oid_tag == 0x06
        assert oid.startswith(ARC)
        result[oid.removeprefix(ARC)] = value
    return result


@pytest.fixture
def extension() -> dict[bytes, tuple[int, bytes]]:
    ((tag, content),) = elements(encode(PLATFORM))
    assert tag == 0x30
    return members(content)


def test_the_members_stand_in_order_with_their_types(extension: dict[bytes, tuple[int, bytes]]) -> None:
    assert [(oid[0], tag) for oid, (tag, _) in extension.items()] == [(1, 0x04), (2, 0x30), (3, 0x04), (4, 0x04), (5, 0x0A), (6, 0x04), (7, 0x30)]
    assert extension[b"\x01"][1] == PLATFORM.ppid
    assert extension[b"\x03"][1] == PLATFORM.pce_id
    assert extension[b"\x04"][1] == PLATFORM.fmspc
    assert extension[b"\x06"][1] == PLATFORM.platform_instance_id


def test_the_tcb_holds_each_component_as_a_signed_integer_and_all_of_them_as_octets(extension: dict[bytes, tuple[int, bytes]]) -> None:
    tcb = members(extension[b"\x02"][1])
    assert [tcb[bytes([2, component])] for component in range(1, 6)] == [
        (0x02, b"\x00"),
        (0x02, b"\x01"),
        (0x02, b"\x7f"),
        (0x02, b"\x00\x80"),
        (0x02, b"\x00\xff"),
    ]
    assert tcb[b"\x02\x11"] == (0x02, b"\x0d")
    assert tcb[b"\x02\x12"] == (0x04, PLATFORM.cpu_svn)
    assert len(tcb) == 18


def test_the_configuration_holds_three_booleans_in_der_form(extension: dict[bytes, tuple[int, bytes]]) -> None:
    configuration = members(extension[b"\x07"][1])
    assert configuration == {b"\x07\x01": (0x01, b"\xff"), b"\x07\x02": (0x01, b"\x00"), b"\x07\x03": (0x01, b"\xff")}
