"""Bytes of an AWS Nitro attestation document -> named fields. Strict: every unsigned byte has one spelling, every field its size.

A COSE_Sign1 item (RFC 9052 §4.2), with or without its tag:

    18([ h'a1013822',        protected header {1: -35}: ECDSA with SHA-384 (RFC 9053 §2.1), on P-384
         {},                 unprotected header: must be empty, because nobody signs it
         payload,            bytes, up to 16384: the document, CBOR again
         signature ])        96 bytes, r and s big endian, over ["Signature1", protected, h'', payload]

The payload is a map of exactly these: module_id (text), digest ("SHA384"), timestamp (milliseconds since 1970), pcrs (number 0 to 31 ->
48 bytes), certificate (DER, the leaf), cabundle (DER, root first), and public_key, user_data and nonce (bytes or null, or absent).
It may be of indefinite length, as those of newer hypervisors are; it is signed, so that makes nothing malleable.

Source: AWS Nitro Enclaves NSM API, docs/attestation_process.md, §2.2 and §3.2.2.
"""

import hashlib

import msgspec

from ollm.attest.nitro import cbor
from ollm.errors import EvidenceRefused
from ollm.values.hexes import Hex32

MAX_DOCUMENT = 24 * 1024  # payload, signature and what is around them; real ones have 4.5 to 5.3 KB
_TAG = b"\xd2"  # tag 18
_PROTECTED = bytes.fromhex("a1013822")
_MAX_PAYLOAD = 16384
_SIGNATURE = 96
_MAX_CERTIFICATE = 1024
_MAX_BUNDLE = 8  # certificates; real documents have 4
_MAX_MODULE_ID = 128
_PCR = 48
_REQUIRED = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
_OPTIONAL = {"public_key": (1, 1024), "user_data": (0, 512), "nonce": (0, 512)}  # sizes from, to
_FORMAT = "nitro.format"


class NitroDocument(msgspec.Struct, frozen=True):
    """A document taken apart; nothing in it is verified yet."""

    module_id: str  # instance and enclave: i-…-enc…
    timestamp_ms: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]  # root first
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    signed: bytes  # Sig_structure (RFC 9052 §4.4)
    signature: bytes

    @property
    def identity(self) -> Hex32:
        """SHA-256 of the signed bytes. The document around them may have a tag or none, and ECDSA's s has two values."""
        return Hex32(hashlib.sha256(self.signed).hexdigest())

    @property
    def instance(self) -> str:
        """The machine's name: the instance's id, i-…."""
        return self.module_id.partition("-enc")[0]


def parse(data: bytes) -> NitroDocument:
    """Take a document apart. Raises: EvidenceRefused with nitro.format or nitro.algorithm; nothing else."""
    if len(data) > MAX_DOCUMENT:
        raise EvidenceRefused(_FORMAT, f"{len(data)} bytes", f"at most {MAX_DOCUMENT}")
    match cbor.decode(data.removeprefix(_TAG), _FORMAT):
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise EvidenceRefused(_FORMAT, "CBOR of another shape", "COSE_Sign1: protected, unprotected, payload, signature")
    if protected != _PROTECTED:
        raise EvidenceRefused("nitro.algorithm", f"protected header {protected[:40].hex()}", f"{_PROTECTED.hex()}: ECDSA with SHA-384")
    if unprotected:
        raise EvidenceRefused("nitro.algorithm", "an unprotected header", "an empty one")
    if len(payload) > _MAX_PAYLOAD or len(signature) != _SIGNATURE:
        raise EvidenceRefused(
            _FORMAT, f"payload of {len(payload)} and signature of {len(signature)} bytes", f"at most {_MAX_PAYLOAD}, and {_SIGNATURE}"
        )
    return _document(cbor.decode(payload, _FORMAT, indefinite=True), _signed(payload), signature)


def _signed(payload: bytes) -> bytes:
    """Sig_structure: ["Signature1", protected, external_aad = h'', payload]."""
    return b"\x84\x6aSignature1\x44" + _PROTECTED + b"\x40" + cbor.bytes_head(len(payload)) + payload


def _document(fields: cbor.Value, signed: bytes, signature: bytes) -> NitroDocument:
    if not isinstance(fields, dict) or not _REQUIRED <= fields.keys() <= _REQUIRED | _OPTIONAL.keys():
        raise EvidenceRefused(_FORMAT, "a payload with other fields", f"{', '.join(sorted(_REQUIRED))}, and at most {', '.join(_OPTIONAL)}")
    if fields["digest"] != "SHA384":
        raise EvidenceRefused(_FORMAT, f"digest {ascii(fields['digest'])[:40]}", "SHA384")
    return NitroDocument(
        module_id=_module_id(fields["module_id"]),
        timestamp_ms=_timestamp(fields["timestamp"]),
        pcrs=_pcrs(fields["pcrs"]),
        certificate=_bytes(fields["certificate"], "certificate", 1, _MAX_CERTIFICATE),
        cabundle=_cabundle(fields["cabundle"]),
        public_key=_optional(fields, "public_key"),
        user_data=_optional(fields, "user_data"),
        nonce=_optional(fields, "nonce"),
        signed=signed,
        signature=signature,
    )


def _module_id(value: cbor.Value) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_MODULE_ID or not (value.isascii() and value.isprintable()):
        raise EvidenceRefused(_FORMAT, "module_id of another kind", f"1 to {_MAX_MODULE_ID} characters")
    return value


def _timestamp(value: cbor.Value) -> int:
    if not isinstance(value, int) or value <= 0:
        raise EvidenceRefused(_FORMAT, "timestamp of another kind", "milliseconds since 1970")
    return value


def _pcrs(value: cbor.Value) -> dict[int, bytes]:
    if not isinstance(value, dict) or not value:
        raise EvidenceRefused(_FORMAT, "no PCRs", "1 to 32 of them")
    found: dict[int, bytes] = {}
    for index, pcr in value.items():
        if not isinstance(index, int) or not 0 <= index < 32:
            raise EvidenceRefused(_FORMAT, f"PCR {ascii(index)[:40]}", "0 to 31")
        found[index] = _bytes(pcr, f"PCR{index}", _PCR, _PCR)
    return found


def _cabundle(value: cbor.Value) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_BUNDLE:
        raise EvidenceRefused(_FORMAT, "cabundle of another kind", f"1 to {_MAX_BUNDLE} certificates")
    return tuple(_bytes(entry, "certificate in cabundle", 1, _MAX_CERTIFICATE) for entry in value)


def _optional(fields: dict[int | str, cbor.Value], name: str) -> bytes | None:
    value = fields.get(name)
    return None if value is None else _bytes(value, name, *_OPTIONAL[name])


def _bytes(value: cbor.Value, name: str, least: int, most: int) -> bytes:
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        size = f"{len(value)} bytes" if isinstance(value, bytes) else "no bytes"
        raise EvidenceRefused(_FORMAT, f"{name} of {size}", f"{least} to {most} bytes")
    return value
