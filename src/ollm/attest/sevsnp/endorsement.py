"""What the certificate of a signing key says: a VCEK belongs to a chip, a VLEK was loaded into it by a cloud provider.

The statements are extensions below 1.3.6.1.4.1.3704.1: 1 version of this structure, 2 product, 3.1 to 3.9 security version numbers,
4 hardware id (VCEK), 5 provider (VLEK). Numbers are DER INTEGER and names DER IA5String; the hardware id stands there bare, though
it was to be an OCTET STRING, and both spellings have been issued.

VCEKs have serial number 0, which RFC 5280 forbids: `cryptography` warns of it now and says that it will refuse later, hence the bound
on its version in pyproject.toml. The day that bound must move, this module is where a reader of our own has to take over: subject,
issuer, period, key, extensions and signature are all that is used of the certificate.

Source: AMD 57230, VCEK and VLEK certificate definitions.
"""

from typing import Literal, TypeAlias

import msgspec
from cryptography import x509

from ollm.attest.certificates import load_certificate, refusing
from ollm.attest.sevsnp.product import TURIN_CHIP_ID_SIZE, product_of_name, tcb_extensions
from ollm.errors import EvidenceRefused

SigningKey: TypeAlias = Literal["vcek", "vlek"]

AMD_ARC = "1.3.6.1.4.1.3704.1."
MAX_LEAF = 8 * 1024  # real ones have 1.3 KB

_CHECK = "snp.certificate"
_STRUCT_VERSION, _PRODUCT, _HWID, _CSP_ID = "1", "2", "4", "5"
_STRUCT_VERSIONS = (0, 1)  # 1 since Turin
_INTEGER, _OCTET_STRING, _IA5_STRING = 0x02, 0x04, 0x16
_CHIP_ID_SIZE = 64


class Endorsement(msgspec.Struct, frozen=True):
    """A leaf certificate, its statements read; nothing in it is verified yet."""

    certificate: x509.Certificate
    signing_key: SigningKey
    product: str
    tcb: bytes  # 8 bytes, in the order of a report's
    chip_id: bytes | None  # VCEK
    csp_id: str | None  # VLEK


def read_endorsement(der: bytes) -> Endorsement:
    """Read a VCEK or VLEK certificate. Raises: EvidenceRefused with snp.certificate; nothing else."""
    if len(der) > MAX_LEAF:
        raise EvidenceRefused(_CHECK, f"{len(der)} bytes", f"at most {MAX_LEAF}")
    certificate = load_certificate(der, _CHECK)
    values = _statements(certificate)
    if _number(values, _STRUCT_VERSION) not in _STRUCT_VERSIONS:
        raise EvidenceRefused(_CHECK, "a structure of unknown version", "0 or 1")
    name = _text(values, _PRODUCT)
    product = product_of_name(name)
    if product is None:
        raise EvidenceRefused(_CHECK, f"product {name[:40]!a}", "Milan, Genoa or Turin")
    tcb = bytes(_number(values, oid) for oid in tcb_extensions(product))
    if (_HWID in values) == (_CSP_ID in values):
        raise EvidenceRefused(_CHECK, "a key of both or neither of chip and provider", "either hardware id or provider")
    if _HWID in values:
        return Endorsement(certificate, "vcek", product, tcb, _chip_id(values[_HWID], product), None)
    return Endorsement(certificate, "vlek", product, tcb, None, _text(values, _CSP_ID))


def _statements(certificate: x509.Certificate) -> dict[str, bytes]:
    """DER of AMD's extensions by the rest of their OID; `cryptography` refuses an extension that stands there twice."""
    with refusing(_CHECK, "malformed extensions", "well-formed ones"):
        extensions = list(certificate.extensions)
    if any(extension.critical for extension in extensions):
        raise EvidenceRefused(_CHECK, "a critical extension", "none: AMD's leaves have none, and one that is not known must not be ignored")
    return {
        extension.oid.dotted_string.removeprefix(AMD_ARC): extension.value.public_bytes()
        for extension in extensions
        if extension.oid.dotted_string.startswith(AMD_ARC)
    }


def _content(der: bytes, tag: int) -> bytes | None:
    """Content of `der` when it is one value with `tag` and a short length, else None."""
    return der[2:] if len(der) > 2 and der[0] == tag and der[1] == len(der) - 2 < 0x80 else None


def _number(values: dict[str, bytes], oid: str) -> int:
    """An INTEGER from 0 to 255 in its one DER spelling. Raises: EvidenceRefused."""
    content = _content(values.get(oid, b""), _INTEGER)
    number = int.from_bytes(content) if content is not None else 0x100
    if number > 0xFF or content != number.to_bytes(2 if number >= 0x80 else 1):  # from 0x80 on one byte would be negative
        raise EvidenceRefused(_CHECK, _absent_or(values, oid), "a number from 0 to 255")
    return number


def _text(values: dict[str, bytes], oid: str) -> str:
    """An IA5String. Raises: EvidenceRefused."""
    content = _content(values.get(oid, b""), _IA5_STRING)
    if content is None or not content.isascii():
        raise EvidenceRefused(_CHECK, _absent_or(values, oid), "a text")
    return content.decode("ascii")


def _absent_or(values: dict[str, bytes], oid: str) -> str:
    return f"extension {oid}: {values[oid].hex()[:40]}" if oid in values else f"no extension {oid}"


def _chip_id(der: bytes, product: str) -> bytes:
    """The hardware id, padded with zeros to the width that it has in a report. Raises: EvidenceRefused."""
    size = TURIN_CHIP_ID_SIZE if product == "Turin" else _CHIP_ID_SIZE
    chip_id = der if len(der) == size else _content(der, _OCTET_STRING)
    if chip_id is None or len(chip_id) != size:
        raise EvidenceRefused(_CHECK, f"hardware id of {len(der)} bytes", f"{size} bytes on {product}")
    return chip_id.ljust(_CHIP_ID_SIZE, b"\x00")
