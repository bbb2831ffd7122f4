"""A timestamp authority: answers in the form of RFC 3161, written out in DER."""

import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ollm.testing.mint.x509 import DAY, Authority, issue, new_key

_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_SIGNED_DATA, _CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_TST_INFO, _SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.1.4", "1.2.840.113549.1.9.16.2.47"
_INTEGER, _OCTETS, _OID, _SEQUENCE, _SET, _TIME = 0x02, 0x04, 0x06, 0x30, 0x31, 0x18


class TimestampAuthority:
    """Root and signer of timestamps, both valid for a year around `now`."""

    def __init__(self, now: int) -> None:
        key, leaf_key = new_key(), new_key()
        self.root = issue("Test TSA root", None, start=now - 180 * DAY, end=now + 180 * DAY, path_length=None, key=key, extensions=[_identifier(key)])
        usage = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        self.signer = issue(
            "Test TSA",
            self.root,
            start=now - 180 * DAY,
            end=now + 180 * DAY,
            authority=False,
            key=leaf_key,
            extensions=[usage, _identifier(leaf_key)],
        )

    @property
    def chain(self) -> tuple[Authority, ...]:
        """Signer first, as a trust root lists them."""
        return self.signer, self.root

    def stamp(self, message: bytes, at: int) -> bytes:
        """A TimeStampResp: this authority saw `message` at `at` (Unix seconds)."""
        imprint = _der(_SEQUENCE, _algorithm(_SHA256), _der(_OCTETS, hashlib.sha256(message).digest()))
        time = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y%m%d%H%M%SZ").encode()
        info = _der(_SEQUENCE, _int(1), _oid("1.3.6.1.4.1.32473.1"), imprint, _int(1), _der(_TIME, time))
        attributes = sorted(
            (
                _attribute(_CONTENT_TYPE, _oid(_TST_INFO)),
                _attribute(_MESSAGE_DIGEST, _der(_OCTETS, hashlib.sha256(info).digest())),
                _attribute(_SIGNING_CERTIFICATE, _der(_SEQUENCE, _der(_SEQUENCE, _der(_SEQUENCE, _der(_OCTETS, bytes.fromhex(self.signer.sha256)))))),
            )
        )
        signature = self.signer.key.sign(_der(_SET, *attributes), ec.ECDSA(hashes.SHA256()))
        certificate = self.signer.certificate
        issuer = _der(_SEQUENCE, certificate.issuer.public_bytes(), _int(certificate.serial_number))
        signer_info = _der(
            _SEQUENCE, _int(1), issuer, _algorithm(_SHA256), _der(0xA0, *attributes), _algorithm(_ECDSA_SHA256), _der(_OCTETS, signature)
        )
        content = _der(_SEQUENCE, _oid(_TST_INFO), _der(0xA0, _der(_OCTETS, info)))
        signed = _der(_SEQUENCE, _int(3), _der(_SET, _algorithm(_SHA256)), content, _der(0xA0, self.signer.der), _der(_SET, signer_info))
        return _der(_SEQUENCE, _der(_SEQUENCE, _int(0)), _der(_SEQUENCE, _oid(_SIGNED_DATA), _der(0xA0, signed)))


def _identifier(key: ec.EllipticCurvePrivateKey) -> tuple[x509.ExtensionType, bool]:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length = len(body)
    if length < 128:
        return bytes([tag, length]) + body
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(size)]) + size + body


def _int(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(number) for number in dotted.split("."))
    return _der(_OID, b"".join(_base128(number) for number in (40 * first + second, *rest)))


def _base128(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))


def _algorithm(oid: str) -> bytes:
    return _der(_SEQUENCE, _oid(oid))


def _attribute(oid: str, value: bytes) -> bytes:
    return _der(_SEQUENCE, _oid(oid), _der(_SET, value))
