"""Bytes of a TDX quote -> named fields. Strict: every length must fit, and nothing may stand where nothing belongs.

Integers are little endian. Version 4:

    offset  size  field
         0    48  header: version u16 = 4, attestation key type u16 = 2 (ECDSA P-256), TEE type u32 = 0x81, reserved 4,
                  QE vendor id 16, user data 20
        48   584  TD report 1.0 (offsets inside it below)
       632     4  length of the signature data, n
       636     n  signature data
     636+n     *  zero padding only

Version 5 has a body descriptor between header and report: type u16 (2 = TD report 1.0, 584 bytes; 3 = TD report 1.5,
648 bytes) and size u32. Signature data:

         0    64  signature, r and s big endian, over everything before the length at 632
        64    64  attestation key, x and y
       128     2  certification data type = 6; u32 size; then:
       134   384  QE report (SGX)
       518    64  signature of the QE report by the PCK key
       582     2  size of QE authentication data = 32; then it
       616     2  certification data type = 5; u32 size; then PCK chain: PEM of leaf, CA, root, and perhaps one NUL

TD report 1.0: TEE_TCB_SVN 16 @0, MRSEAM 48 @16, MRSIGNERSEAM 48 @64, SEAMATTRIBUTES 8 @112, TDATTRIBUTES 8 @120, XFAM 8 @128,
MRTD 48 @136, MRCONFIGID 48 @184, MROWNER 48 @232, MROWNERCONFIG 48 @280, RTMR0..3 48 each @328, REPORTDATA 64 @520.
TD report 1.5 adds TEE_TCB_SVN_2 16 @584 and MRSERVICETD 48 @600.

The verifying library skips the outer certification type, the bytes after each inner structure and most of the root's PEM;
read strictly here, none of them can be altered.

Source: Intel TDX DCAP Quoting Library API, appendix A.3 (version 4) and A.4 (version 5).
"""

import base64
import binascii
import hashlib
import re

import msgspec

from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

MAX_QUOTE = 16 * 1024  # real ones have 5 to 8 KB
TD_REPORT_1_0 = 2
TD_REPORT_1_5 = 3
_BODY_SIZES = {TD_REPORT_1_0: 584, TD_REPORT_1_5: 648}
_QE_AUTH_SIZE = 32  # of every QE seen; the verifying library takes no other
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]{1,8192})-----END CERTIFICATE-----\n")


class Header(msgspec.Struct, frozen=True):
    """Quote header, 48 bytes."""

    version: int
    attestation_key_type: int
    tee_type: int
    reserved: bytes
    qe_vendor_id: bytes
    user_data: bytes


class TdReport(msgspec.Struct, frozen=True):
    """TD report, in the order of the bytes. The last two exist only in version 1.5."""

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mrtd: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    tee_tcb_svn_2: bytes | None = None
    mr_service_td: bytes | None = None

    @property
    def rtmrs(self) -> tuple[bytes, bytes, bytes, bytes]:
        return self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3


_TD_REPORT_SIZES = (16, 48, 48, 8, 8, 8, 48, 48, 48, 48, 48, 48, 48, 48, 64, 16, 48)


class PckChain(msgspec.Struct, frozen=True):
    """DER of the certificates that a quote carries."""

    leaf: bytes
    ca: bytes
    root: bytes


class TdxQuote(msgspec.Struct, frozen=True):
    """A quote taken apart; nothing in it is verified yet."""

    header: Header
    td_report: TdReport
    signed: bytes  # what the attestation key signed: header, body descriptor (version 5) and TD report
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_report_signature: bytes
    qe_auth_data: bytes
    pck_chain: PckChain
    raw: bytes

    @property
    def identity(self) -> Hex32:
        """SHA-256 of the signed bytes. A digest of the whole quote would not do: padding and ECDSA's s are malleable."""
        return Hex32(hashlib.sha256(self.signed).hexdigest())


class Reader:
    """Takes little-endian fields off the front of `data`; running out is a refusal that names `check`."""

    def __init__(self, data: bytes, check: str, what: str) -> None:
        self._data = data
        self._at = 0
        self._check = check
        self._what = what

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise EvidenceRefused(self._check, f"{self._what} of {len(self._data)} bytes", f"{size} more at offset {self._at}")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    @property
    def offset(self) -> int:
        return self._at


def parse_quote(data: bytes) -> TdxQuote:
    """Take a quote apart. Raises: EvidenceRefused with quote.format or quote.certification_data; nothing else."""
    if len(data) > MAX_QUOTE:
        raise EvidenceRefused("quote.format", f"{len(data)} bytes", f"at most {MAX_QUOTE}")
    reader = Reader(data, "quote.format", "quote")
    header = _header(reader)
    td_report = _td_report(reader, header.version)
    signed = data[: reader.offset]
    signature_data = reader.take(reader.number(4))
    if any(reader.rest()):
        raise EvidenceRefused("quote.format", "bytes after the signature data", "zero padding only")

    reader = Reader(signature_data, "quote.certification_data", "signature data")
    signature, attestation_key = reader.take(64), reader.take(64)
    reader = _certification(reader, 6)
    qe_report, qe_report_signature = reader.take(384), reader.take(64)
    auth_size = reader.number(2)
    if auth_size != _QE_AUTH_SIZE:
        raise EvidenceRefused("quote.certification_data", f"{auth_size} bytes of QE authentication data", str(_QE_AUTH_SIZE))
    auth_data = reader.take(auth_size)
    chain = _pck_chain(_certification(reader, 5).rest())
    return TdxQuote(header, td_report, signed, signature, attestation_key, qe_report, qe_report_signature, auth_data, chain, data)


def _header(reader: Reader) -> Header:
    header = Header(reader.number(2), reader.number(2), reader.number(4), reader.take(4), reader.take(16), reader.take(20))
    if header.version not in (4, 5):
        raise EvidenceRefused("quote.format", f"version {header.version}", "4 or 5")
    if header.attestation_key_type != 2:
        raise EvidenceRefused("quote.format", f"attestation key type {header.attestation_key_type}", "2, ECDSA with P-256")
    if header.tee_type != 0x81:
        raise EvidenceRefused("quote.format", f"TEE type {header.tee_type:#x}", "0x81, TDX")
    return header


def _td_report(reader: Reader, version: int) -> TdReport:
    body_type = TD_REPORT_1_0
    if version == 5:
        body_type, size = reader.number(2), reader.number(4)
        if _BODY_SIZES.get(body_type) != size:
            raise EvidenceRefused("quote.format", f"body of type {body_type} and {size} bytes", "type 2 and 584, or type 3 and 648")
    fields = _TD_REPORT_SIZES if body_type == TD_REPORT_1_5 else _TD_REPORT_SIZES[:-2]
    return TdReport(*(reader.take(size) for size in fields))


def _certification(reader: Reader, wanted: int) -> Reader:
    """Reader of certification data that must be of type `wanted` and fill the rest of its container."""
    kind, size = reader.number(2), reader.number(4)
    data = reader.rest()
    if kind != wanted:
        raise EvidenceRefused("quote.certification_data", f"type {kind}", str(wanted))
    if size != len(data):
        raise EvidenceRefused("quote.certification_data", f"{len(data)} bytes", f"the {size} that type {kind} states")
    return Reader(data, "quote.certification_data", f"certification data of type {kind}")


def _pck_chain(data: bytes) -> PckChain:
    chain = pem_certificates(data.removesuffix(b"\x00"), "quote.certification_data")
    if len(chain) != 3:
        raise EvidenceRefused("quote.certification_data", f"{len(chain)} certificates", "3: leaf, CA and root")
    return PckChain(*chain)


def pem_certificates(data: bytes, check: str) -> tuple[bytes, ...]:
    """DER of each certificate in `data`, which must be their PEM in the one usual spelling, byte for byte.

    Raises: EvidenceRefused naming `check`.
    """
    try:
        chain = tuple(base64.b64decode(body) for body in _CERTIFICATE.findall(data))
    except binascii.Error:
        chain = ()
    if b"".join(pem(der) for der in chain) != data:
        raise EvidenceRefused(check, "a chain in another spelling", "PEM certificates with lines of 64 and nothing else")
    return chain


def pem(der: bytes) -> bytes:
    """The usual spelling of a PEM certificate (RFC 7468 §3): lines of 64 characters that end in LF."""
    text = base64.b64encode(der)
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"
