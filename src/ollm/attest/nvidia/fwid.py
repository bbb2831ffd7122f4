"""The digest of a device's firmware (FWID) in the extension of its leaf certificate, in DER.

    CompositeDeviceID, 2.23.133.5.4.1 (Hopper, LS10):  SEQUENCE { INTEGER, SubjectPublicKeyInfo, Fwid }
    TcbInfo, 2.23.133.5.4.1.1 (Blackwell):             SEQUENCE { [0] … [5], [6] SEQUENCE OF Fwid, … }, of which the first is the firmware's
    Fwid:                                              SEQUENCE { algorithm OBJECT IDENTIFIER = SHA-384, digest OCTET STRING }

Sources: TCG DICE Attestation Architecture 1.1 §6.1.1; CompositeDeviceID: Microsoft's RIoT reference. Which of them NVIDIA's devices
carry: NVIDIA attestation SDK, GpuArchitectureData.
"""

from collections.abc import Iterator

from cryptography import x509

from ollm.attest.certificates import refusing
from ollm.errors import EvidenceRefused

COMPOSITE_DEVICE_ID_OID = "2.23.133.5.4.1"
TCB_INFO_OID = "2.23.133.5.4.1.1"

_SEQUENCE = 0x30
_FWIDS = 0xA6
_OID = 0x06
_OCTET_STRING = 0x04
_SHA384 = bytes.fromhex("608648016503040202")  # 2.16.840.1.101.3.4.2.2
_SHA384_SIZE = 48


def leaf_fwid(leaf: x509.Certificate) -> bytes:
    """SHA-384 of the firmware that the chip certified, from its certificate. Raises: EvidenceRefused with device.fwid."""
    with refusing("device.fwid", "a device certificate without a readable digest of the firmware", "one extension with it"):
        extensions = {extension.oid.dotted_string: extension.value.public_bytes() for extension in leaf.extensions}
        composite, tcb_info = extensions.get(COMPOSITE_DEVICE_ID_OID), extensions.get(TCB_INFO_OID)
        if composite is not None and tcb_info is None:
            _version, _device_key, of_firmware = _members(_only(composite, _SEQUENCE))
            return _digest(of_firmware)
        if tcb_info is not None and composite is None:
            (fwids,) = [value for tag, value in _members(_only(tcb_info, _SEQUENCE)) if tag == _FWIDS]
            return _digest(_members(fwids)[0])
        raise ValueError("none, or two")


def check_fwid(stated: bytes | None, certified: bytes) -> None:
    """The report states the very firmware that the chip certified the reporting key for. Raises: EvidenceRefused with device.fwid."""
    if stated is not None and stated != certified:
        raise EvidenceRefused("device.fwid", f"firmware {stated[:48].hex()}", certified.hex())


def _digest(member: tuple[int, bytes]) -> bytes:
    if member[0] != _SEQUENCE:
        raise ValueError("not a Fwid")
    (algorithm_tag, algorithm), (digest_tag, digest) = _members(member[1])
    if (algorithm_tag, algorithm, digest_tag, len(digest)) != (_OID, _SHA384, _OCTET_STRING, _SHA384_SIZE):
        raise ValueError("not SHA-384")
    return digest


def _only(data: bytes, tag: int) -> bytes:
    members = _members(data)
    if len(members) != 1 or members[0][0] != tag:
        raise ValueError("something else")
    return members[0][1]


def _members(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and value of each element of `data`, at least one. Raises: ValueError."""
    members = list(_elements(data))
    if not members:
        raise ValueError("empty")
    return members


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        head = data[at : at + 3]
        if len(head) < 2 or head[0] & 0x1F == 0x1F:
            raise ValueError("tag")
        size, start = head[1], at + 2
        if size == 0x81 and len(head) == 3:  # the longest of these extensions has some 190 bytes
            size, start = head[2], at + 3
        elif size >= 0x80:
            raise ValueError("length")
        at = start + size
        if at > len(data):
            raise ValueError("length")
        yield head[0], data[start:at]
