"""Certificates and CRLs as AMD issues them for SEV-SNP, with a knob for every defect.

    ARK-<product> ──┬── SEV-<product> (ASK) ────────── SEV-VCEK of a chip   (serial number 0, marked as simulated)
                    └── SEV-VLEK-<product> (ASVK) ──── SEV-VLEK of a provider

Keys are RSA with 2048 bits where AMD has 4096: making those takes seconds, and nothing depends on the size.
Formats: AMD 57230, VCEK Certificate and KDS Interface.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.values.hexes import Hex32

DAY = 86_400
AMD_ARC = "1.3.6.1.4.1.3704.1."

_PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


class RsaAuthority(msgspec.Struct, frozen=True):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


class SnpPki(msgspec.Struct, frozen=True):
    """The hierarchy of one product line."""

    product: str
    ark: RsaAuthority
    ask: RsaAuthority
    asvk: RsaAuthority

    @property
    def root_sha256(self) -> Hex32:
        """The pin: SHA-256 of the root's SubjectPublicKeyInfo."""
        spki = self.ark.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return Hex32(hashlib.sha256(spki).hexdigest())

    def crl(
        self,
        *,
        issued: int,
        expires: int,
        revoked: Iterable[int] = (),
        issuer: RsaAuthority | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
        digest: hashes.SHA256 | None = None,
    ) -> bytes:
        """DER of a CRL that lists the serial numbers in `revoked`, by the root or by `issuer`."""
        signer = issuer or self.ark
        builder = x509.CertificateRevocationListBuilder().issuer_name(signer.certificate.subject)
        builder = builder.last_update(_time(issued)).next_update(_time(expires)).add_extension(x509.CRLNumber(1), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        for serial in revoked:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_time(issued)).build())
        if digest is not None:
            return builder.sign(signer.key, digest).public_bytes(serialization.Encoding.DER)
        return builder.sign(signer.key, hashes.SHA384(), rsa_padding=_PSS).public_bytes(serialization.Encoding.DER)


def create_pki(product: str, now: int) -> SnpPki:
    """A new hierarchy for `product`; `now` is Unix seconds."""
    ark = authority(f"ARK-{product}", None, start=now - 900 * DAY, end=now + 8000 * DAY, path_length=None)
    ask = authority(f"SEV-{product}", ark, start=now - 800 * DAY, end=now + 8000 * DAY)
    asvk = authority(f"SEV-VLEK-{product}", ark, start=now - 800 * DAY, end=now + 8000 * DAY)
    return SnpPki(product, ark, ask, asvk)


def authority(
    name: str,
    issuer: RsaAuthority | None,
    *,
    start: int,
    end: int,
    key: rsa.RSAPrivateKey | None = None,
    ca: bool = True,
    path_length: int | None = 0,
    certifying: bool = True,
    revoking: bool | None = None,
    constrained: bool = True,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    digest: hashes.SHA256 | None = None,
) -> RsaAuthority:
    """A CA certificate by `issuer`, or by itself. Every argument after `key` makes one that AMD would not issue.

    `revoking`: whether it may sign CRLs, as only AMD's root may; `digest`: PKCS #1 v1.5 with it instead of RSASSA-PSS.
    """
    key = key or rsa.generate_private_key(65537, 2048)
    issuer_name, issuer_key = (_name(name), key) if issuer is None else (issuer.certificate.subject, issuer.key)
    builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(issuer_name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(_time(start)).not_valid_after(_time(end))
    if constrained:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
    builder = builder.add_extension(_key_usage(certifying, issuer is None if revoking is None else revoking), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    if digest is not None:
        return RsaAuthority(builder.sign(issuer_key, digest), key)
    return RsaAuthority(builder.sign(issuer_key, hashes.SHA384(), rsa_padding=_PSS), key)


def leaf_statements(product: str, tcb: bytes, *, chip_id: bytes | None = None, csp_id: str | None = None) -> dict[str, bytes]:
    """DER of AMD's extensions of a VCEK (`chip_id`) or VLEK (`csp_id`), by the end of their OID. `tcb`: 8 bytes, as in a report."""
    oids = (
        ("3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8") if product == "Turin" else ("3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8")
    )
    name = f"{product}-B0" if product == "Milan" and chip_id is not None else product
    statements = {"1": integer(1 if product == "Turin" else 0), "2": ia5_string(name)}
    statements |= {oid: integer(number) for oid, number in zip(oids, tcb, strict=True)}
    if chip_id is not None:
        statements["4"] = chip_id
    if csp_id is not None:
        statements["5"] = ia5_string(csp_id)
    return statements


def issue_leaf(
    issuer: RsaAuthority,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    statements: Mapping[str, bytes],
    *,
    name: str = "SEV-VCEK",
    start: int,
    end: int,
    serial: int = 0,
    marked: bool = True,
    critical: str | None = None,
    digest: hashes.SHA256 | None = None,
) -> bytes:
    """DER of a leaf. `critical` names a statement that shall be critical, which none of AMD's is."""
    builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(issuer.certificate.subject).public_key(public_key)
    builder = builder.serial_number(serial or 1).not_valid_before(_time(start)).not_valid_after(_time(end))
    for oid, value in statements.items():
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(AMD_ARC + oid), value)
        builder = builder.add_extension(extension, critical=oid == critical)
    if marked:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(SIMULATED_MARKER_OID), b"\x05\x00"), critical=False)
    if digest is not None:
        return builder.sign(issuer.key, digest).public_bytes(serialization.Encoding.DER)
    certificate = builder.sign(issuer.key, hashes.SHA384(), rsa_padding=_PSS)
    return certificate.public_bytes(serialization.Encoding.DER) if serial else _with_serial_0(certificate, issuer.key)


def _with_serial_0(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """`certificate`, whose serial number is 1, with serial number 0: AMD's habit, which `cryptography` does not build."""
    signed = certificate.tbs_certificate_bytes
    changed = signed.replace(bytes.fromhex("a003020102 020101"), bytes.fromhex("a003020102 020100"), 1)  # version 3, then the number
    der = certificate.public_bytes(serialization.Encoding.DER).replace(signed, changed)
    return der[: -len(certificate.signature)] + key.sign(changed, _PSS, hashes.SHA384())


def integer(number: int) -> bytes:
    """DER INTEGER of a number from 0 to 255."""
    return bytes((2, 1, number)) if number < 0x80 else bytes((2, 2, 0, number))


def ia5_string(text: str) -> bytes:
    """DER IA5String of a short text."""
    return bytes((0x16, len(text))) + text.encode("ascii")


def _name(common_name: str) -> x509.Name:
    attributes = ((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, "OLLM simulated hardware - not secure"))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def _key_usage(certifying: bool, revoking: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifying,
        crl_sign=revoking,
        encipher_only=False,
        decipher_only=False,
    )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
