"""Bytes of an NVIDIA device's report -> named fields. Strict: every length must fit, and nothing may stand where nothing belongs.

The report is one exchange of SPDM 1.1, request and response one after the other. Integers are little endian.

    offset  size  GET_MEASUREMENTS
         0     1  SPDM version = 0x11
         1     1  request code = 0xE0
         2     1  attributes = 0x01: a signature is asked for
         3     1  operation = 0xFF: all measurements
         4    32  nonce of whoever asked
        36     1  slot of the certificate chain = 0
    offset  size  MEASUREMENTS
        37     1  SPDM version = 0x11
        38     1  response code = 0x60
        39     1  reserved = 0
        40     1  slot = 0
        41     1  number of measurement blocks
        42     3  length of the measurement record, n
        45     n  measurement record
      45+n    32  nonce of the device
      77+n     2  length of the opaque data, m
      79+n     m  opaque data
    79+n+m    96  signature, r and s big endian, of everything before it: ECDSA, P-384, SHA-384

A measurement block: index u8 (1, 2, 3 … in this order), specification u8 = 1 (DMTF), size u16, then value type u8 (bit 7: raw bit
stream, not a digest), value size u16, value. Opaque data: fields of type u16, size u16 and value, each type at most once.

Source: DMTF DSP0274 1.1 §10.11 (GET_MEASUREMENTS, MEASUREMENTS, measurement block); types of opaque fields: NVIDIA attestation SDK,
GpuOpaqueDataType and SwitchOpaqueDataType.
"""

import hashlib
import re

import msgspec

from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

MAX_REPORT = 16 * 1024  # real ones have 2 to 5 KB
SIGNATURE_SIZE = 96
NONCE_SIZE = 32
_CHECK = "device.format"
_REQUEST_HEAD = bytes((0x11, 0xE0, 0x01, 0xFF))
_RESPONSE_HEAD = bytes((0x11, 0x60, 0x00, 0x00))
_DMTF = 1

# Types of opaque fields that are read; a report may carry others, which prove nothing that we rely on.
DRIVER_VERSION = 3
VBIOS_VERSION = 6
CHIP_SKU = 15
PROJECT = 17
PROJECT_SKU = 18
FWID = 20
PROTECTED_PCIE = 21
CHIP = 35
FEATURE_FLAG = 36

_NAME = re.compile(rb"([0-9A-Za-z._]{1,32})\x00*")  # names go into the ids of files, so nothing else may stand in them


class Report(msgspec.Struct, frozen=True):
    """A report taken apart; nothing in it is verified yet."""

    nonce: bytes  # of whoever asked, 32 bytes
    measurements: tuple[bytes, ...]  # by index from 0, as NVIDIA's reference files count: block i + 1
    opaque: dict[int, bytes]
    signed: bytes
    signature: bytes

    @property
    def identity(self) -> Hex32:
        """SHA-256 of the signed bytes. A digest of the whole would not do: ECDSA's s is malleable."""
        return Hex32(hashlib.sha256(self.signed).hexdigest())

    def name(self, kind: int, what: str) -> str:
        """The text of the opaque field `kind`, which must be a short name. Raises: EvidenceRefused."""
        found = _NAME.fullmatch(self.opaque.get(kind, b""))
        if found is None:
            raise EvidenceRefused(_CHECK, f"{what} {self.opaque.get(kind, b'')[:40]!a}", "letters, digits, dots and low lines")
        return found[1].decode()


class _Reader:
    """Takes fields off the front of `data`; running out is a refusal."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self.offset = 0

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self.offset:
            raise EvidenceRefused(_CHECK, f"{self._what} of {len(self._data)} bytes", f"{size} more at offset {self.offset}")
        self.offset += size
        return self._data[self.offset - size : self.offset]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def expect(self, wanted: bytes, what: str) -> None:
        got = self.take(len(wanted))
        if got != wanted:
            raise EvidenceRefused(_CHECK, f"{what} {got.hex()}", wanted.hex())

    @property
    def at_end(self) -> bool:
        return self.offset == len(self._data)


def parse_report(data: bytes) -> Report:
    """Take a report apart. Raises: EvidenceRefused with device.format; nothing else."""
    if len(data) > MAX_REPORT:
        raise EvidenceRefused(_CHECK, f"{len(data)} bytes", f"at most {MAX_REPORT}")
    reader = _Reader(data, "report")
    reader.expect(_REQUEST_HEAD, "request")
    nonce = reader.take(NONCE_SIZE)
    reader.expect(b"\x00", "slot")
    reader.expect(_RESPONSE_HEAD, "response")
    count = reader.number(1)
    measurements = _measurements(reader.take(reader.number(3)), count)
    reader.take(NONCE_SIZE)
    opaque = _opaque(reader.take(reader.number(2)))
    signed = data[: reader.offset]
    signature = reader.take(SIGNATURE_SIZE)
    if not reader.at_end:
        raise EvidenceRefused(_CHECK, f"{len(data) - reader.offset} bytes after the signature", "none")
    return Report(nonce, measurements, opaque, signed, signature)


def _measurements(record: bytes, count: int) -> tuple[bytes, ...]:
    reader = _Reader(record, "measurement record")
    values: list[bytes] = []
    while not reader.at_end:
        index, specification = reader.take(2)
        if (index, specification) != (len(values) + 1, _DMTF):
            raise EvidenceRefused(_CHECK, f"measurement block {index} of specification {specification}", f"block {len(values) + 1} of DMTF's")
        block = reader.take(reader.number(2))
        value = block[3:]  # before it, its type (what it measures is for NVIDIA's reference files to say) and its size
        if int.from_bytes(block[1:3], "little") != len(value) or len(block) < 3:
            raise EvidenceRefused(_CHECK, f"measurement block {index} of {len(block)} bytes", "as many as its value needs")
        values.append(value)
    if len(values) != count:
        raise EvidenceRefused(_CHECK, f"{len(values)} measurement blocks", f"the {count} that are stated")
    return tuple(values)


def _opaque(data: bytes) -> dict[int, bytes]:
    reader = _Reader(data, "opaque data")
    fields: dict[int, bytes] = {}
    while not reader.at_end:
        kind = reader.number(2)
        if kind in fields:
            raise EvidenceRefused(_CHECK, f"opaque field {kind} twice", "each once")
        fields[kind] = reader.take(reader.number(2))
    return fields
