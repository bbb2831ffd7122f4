"""The SGX extension of a PCK certificate, encoded by hand: nested SEQUENCEs of {OID, value}.

Source: Intel SGX PCK Certificate and CRL Profile Specification v1.5, §1.3.5 (table 3). Only what it needs of DER is here.
"""

import msgspec

# The extension's own arc, 1.2.840.113741.1.13.1, in DER content octets; members append one or two octets to it.
OID = "1.2.840.113741.1.13.1"
_ARC = bytes.fromhex("2a864886f84d010d01")

_BOOLEAN, _INTEGER, _OCTETS, _OID, _ENUMERATED, _SEQUENCE = 0x01, 0x02, 0x04, 0x06, 0x0A, 0x30


class PlatformIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a PCK certificate says about its platform."""

    ppid: bytes  # 16: names this machine for life
    cpu_svn: bytes  # 16: one SVN per SGX TCB component
    pce_svn: int
    fmspc: bytes  # 6: family, model, stepping, platform type, custom SKU; selects the tcbInfo
    pce_id: bytes = bytes(2)
    platform_instance_id: bytes = bytes(16)
    dynamic_platform: bool = True  # true in nearly all cloud machines
    cached_keys: bool = False
    smt_enabled: bool = True


def encode(platform: PlatformIdentity) -> bytes:
    """Value of the extension (goes into extnValue as it is)."""
    svns = [_member(2, component, _integer(svn)) for component, svn in enumerate(platform.cpu_svn, start=1)]
    svns += [_member(2, 17, _integer(platform.pce_svn)), _member(2, 18, _tlv(_OCTETS, platform.cpu_svn))]
    flags = (platform.dynamic_platform, platform.cached_keys, platform.smt_enabled)
    configuration = [_member(7, number, _tlv(_BOOLEAN, b"\xff" if flag else b"\x00")) for number, flag in enumerate(flags, start=1)]
    return _sequence(
        _member(1, None, _tlv(_OCTETS, platform.ppid)),
        _member(2, None, _sequence(*svns)),
        _member(3, None, _tlv(_OCTETS, platform.pce_id)),
        _member(4, None, _tlv(_OCTETS, platform.fmspc)),
        _member(5, None, _tlv(_ENUMERATED, b"\x01")),  # SGX type: scalable, as every multi-package server
        _member(6, None, _tlv(_OCTETS, platform.platform_instance_id)),
        _member(7, None, _sequence(*configuration)),
    )


def _member(number: int, sub: int | None, value: bytes) -> bytes:
    arc = _ARC + bytes([number]) + (b"" if sub is None else bytes([sub]))
    return _sequence(_tlv(_OID, arc), value)


def _sequence(*members: bytes) -> bytes:
    return _tlv(_SEQUENCE, b"".join(members))


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1))  # a leading zero octet from 128 on: it is signed


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content
