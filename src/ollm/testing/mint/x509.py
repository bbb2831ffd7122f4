"""Certificates of vendor-shaped hierarchies, with a knob for every defect that a verifier must notice. Nothing here is a secret."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.values.hexes import Hex32

DAY = 86_400
Key: TypeAlias = ec.EllipticCurvePrivateKey


class Authority(msgspec.Struct, frozen=True):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def sha256(self) -> Hex32:
        """SHA-256 of the certificate's DER: what a policy pins."""
        return Hex32(self.certificate.fingerprint(hashes.SHA256()).hex())


def new_key() -> Key:
    """A fresh key on P-384, the curve of NVIDIA's and AWS's hierarchies."""
    return ec.generate_private_key(ec.SECP384R1())


def create_root(name: str, now: int, *, years: int = 30) -> Authority:
    """A self-signed root that began a day before `now` (Unix seconds)."""
    return issue(name, None, start=now - DAY, end=now + years * 365 * DAY, path_length=None)


def issue(
    name: str,
    issuer: Authority | None,
    *,
    start: int,
    end: int,
    authority: bool = True,
    path_length: int | None = 0,
    marked: bool = False,
    key: Key | None = None,
    key_usage: bool = True,
    certifying: bool | None = None,
    constrained: bool = True,
    algorithm: hashes.SHA256 | hashes.SHA384 | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Authority:
    """A certificate for `key` (or a fresh one) by `issuer` (or by itself), valid from `start` to `end`.

    `authority` False: a leaf. `path_length`: how many authorities may stand below. `marked`: it says that it is simulated hardware's.
    `certifying`: whether its key usage allows certificates, which is `authority` unless a defect is wanted. `constrained`: it has basic
    constraints. `algorithm`: of its signature, if not SHA-384.
    """
    key = key or new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = (subject, key) if issuer is None else (issuer.certificate.subject, issuer.key)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name)
    builder = builder.public_key(key.public_key()).serial_number(int.from_bytes(os.urandom(16), "big") >> 1 | 1)
    builder = builder.not_valid_before(datetime.fromtimestamp(start, UTC)).not_valid_after(datetime.fromtimestamp(end, UTC))
    if constrained:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=path_length if authority else None), critical=True)
    if key_usage:
        builder = builder.add_extension(_key_usage(authority if certifying is None else certifying, signing=not authority), critical=True)
    if marked:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(SIMULATED_MARKER_OID), b"\x05\x00"), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Authority(builder.sign(issuer_key, algorithm or hashes.SHA384()), key)


def _key_usage(certifying: bool, *, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifying,
        crl_sign=certifying,
        encipher_only=False,
        decipher_only=False,
    )
