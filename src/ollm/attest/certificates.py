"""X.509 for appraisal: load, issue, revoke, expire. Every foreign exception becomes a refusal that names the check.

`cryptography` parses lazily, so malformed certificates can raise at any attribute, and not only ValueError.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ollm.errors import EvidenceRefused

_ERRORS = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
# Marks the leaf certificate of simulated hardware; see docs/decisions/0002-simulated-marker.md. Non-critical, value DER NULL.
# Arcs under RFC 5612's enterprise number for examples, then a random UUID as four 32-bit numbers.
SIMULATED_MARKER_OID = "1.3.6.1.4.1.32473.1528790030.2637843538.2322476877.1908423480"

_JUDGED = (x509.BasicConstraints.oid, x509.KeyUsage.oid)
_YEAR_10000 = 253_402_300_800


class Period(msgspec.Struct, frozen=True):
    """From when (included) until when (excluded, as the verifying library does for CRLs) a document `name` holds, Unix seconds."""

    name: str
    start: int
    end: int


@contextmanager
def refusing(check: str, got: str, want: str) -> Iterator[None]:
    """Turn whatever `cryptography` raises in the block into this refusal."""
    try:
        yield
    except _ERRORS:
        raise EvidenceRefused(check, got, want) from None


def load_certificate(der: bytes, check: str) -> x509.Certificate:
    """Parse a certificate. Raises: EvidenceRefused naming `check`."""
    with refusing(check, "bytes that are no certificate", "X.509 version 3"):
        return x509.load_der_x509_certificate(der)


def load_chain(pem: str, check: str, name: str) -> list[x509.Certificate]:
    """Parse concatenated PEM certificates, at least one. Raises: EvidenceRefused naming `check`."""
    with refusing(check, f"{name} that is no certificate chain", "PEM certificates"):
        return x509.load_pem_x509_certificates(pem.encode())


def load_crl(der: bytes, check: str, name: str) -> x509.CertificateRevocationList:
    """Parse a CRL. Raises: EvidenceRefused naming `check`."""
    with refusing(check, f"{name} that is no CRL", "DER of a CRL"):
        return x509.load_der_x509_crl(der)


def certificate_period(certificate: x509.Certificate, name: str) -> Period:
    """When `certificate` holds."""
    return Period(name, int(certificate.not_valid_before_utc.timestamp()), int(certificate.not_valid_after_utc.timestamp()))


def crl_period(crl: x509.CertificateRevocationList, check: str, name: str) -> Period:
    """When `crl` holds. Raises: EvidenceRefused naming `check` for one that never ends."""
    if crl.next_update_utc is None:
        raise EvidenceRefused(check, f"{name} without nextUpdate", "one that ends")
    return Period(name, int(crl.last_update_utc.timestamp()), int(crl.next_update_utc.timestamp()))


def check_periods(periods: Sequence[Period], now: int, check: str) -> None:
    """Each of `periods` holds at `now`. Raises: EvidenceRefused naming `check`."""
    for period in periods:
        if now < period.start:
            raise EvidenceRefused(check, f"{period.name} valid from {_utc(period.start)}", f"valid at {_utc(now)}")
        if now >= period.end:
            raise EvidenceRefused(check, f"{period.name} valid until {_utc(period.end)}", f"valid at {_utc(now)}")


def check_issued(certificate: x509.Certificate, issuer: x509.Certificate, check: str, name: str) -> None:
    """`issuer` is named in `certificate` and signed it. Raises: EvidenceRefused naming `check`."""
    _check_issued(certificate, issuer, check, name)


@lru_cache(maxsize=256)
def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, check: str, name: str) -> None:
    """Remembered: what was true of these very bytes once stays true, and costs a signature each time. Refusals are not remembered."""
    with refusing(check, f"{name} by another issuer", "one issued by the certificate above it"):
        certificate.verify_directly_issued_by(issuer)
    _check_whole_octets(certificate, check, name)


def check_authority(certificate: x509.Certificate, below: int, check: str, name: str) -> None:
    """`certificate` may issue certificates, with `below` authorities between it and a leaf (RFC 5280 §4.2.1.9).

    Raises: EvidenceRefused naming `check`, also for a critical extension that is not judged here.
    """
    constraints, usage = _constraints(certificate, check, name)
    deep_enough = constraints.path_length is None or constraints.path_length >= below
    if not (constraints.ca and deep_enough and usage.key_cert_sign):
        raise EvidenceRefused(check, f"{name} that may not issue it", f"an authority with {below} below it")


def check_signer(certificate: x509.Certificate, check: str, name: str) -> None:
    """`certificate` is a leaf whose key signs documents, and not certificates (RFC 5280 §4.2.1.3).

    Raises: EvidenceRefused naming `check`, also for a critical extension that is not judged here.
    """
    constraints, usage = _constraints(certificate, check, name)
    if constraints.ca or usage.key_cert_sign or not usage.digital_signature:
        raise EvidenceRefused(check, f"{name} of another purpose", "one that signs documents only")


def _constraints(certificate: x509.Certificate, check: str, name: str) -> tuple[x509.BasicConstraints, x509.KeyUsage]:
    with refusing(check, f"{name} without its constraints", "basic constraints and key usage"):
        extensions = certificate.extensions
        unknown = next((extension.oid for extension in extensions if extension.critical and extension.oid not in _JUDGED), None)
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    if unknown is not None:
        raise EvidenceRefused(check, f"{name} with critical extension {unknown.dotted_string[:40]}", "none that is not known")
    return constraints, usage


def check_crl(crl: x509.CertificateRevocationList, issuer: x509.Certificate, check: str, name: str) -> None:
    """`issuer` is named in `crl` and signed it. Raises: EvidenceRefused naming `check`."""
    want = "one signed by the issuer of the certificates"
    with refusing(check, f"{name} by another issuer", want):
        key = issuer.public_key()
        authentic = isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)) and crl.issuer == issuer.subject and crl.is_signature_valid(key)
    if not authentic:
        raise EvidenceRefused(check, f"{name} by another issuer", want)
    _check_whole_octets(crl, check, name)


def _check_whole_octets(signed: x509.Certificate | x509.CertificateRevocationList, check: str, name: str) -> None:
    """No bit of the signature is declared unused: `cryptography` ignores that count, so that a signature could be spelled in two ways.

    Raises: EvidenceRefused naming `check`.
    """
    unused = signed.public_bytes(serialization.Encoding.DER)[-len(signed.signature) - 1]  # the octet before a BIT STRING's bits (X.690 §8.6)
    if unused:
        raise EvidenceRefused(check, f"{name} with {unused} unused bits in its signature", "none")


def check_not_revoked(crl: x509.CertificateRevocationList, certificate: x509.Certificate, check: str, name: str) -> None:
    """`crl` doesn't list `certificate`. Raises: EvidenceRefused naming `check`."""
    with refusing(check, "a CRL with malformed entries", "well-formed ones"):
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None:
        raise EvidenceRefused(check, f"{name} revoked", "not on the CRL")


def has_extension(certificate: x509.Certificate, oid: str, check: str) -> bool:
    """Whether `certificate` has the extension `oid`. Raises: EvidenceRefused naming `check` when its extensions can't be read."""
    with refusing(check, "a certificate with malformed extensions", "well-formed ones"):
        return oid in _extensions(certificate)


@lru_cache(maxsize=256)
def _extensions(certificate: x509.Certificate) -> frozenset[str]:
    return frozenset(extension.oid.dotted_string for extension in certificate.extensions)


def check_marker(leaf: x509.Certificate, *, simulated: bool) -> None:
    """Simulated hardware says so in its certificate; each path takes its own kind only. Raises: EvidenceRefused with platform.marker."""
    marked = has_extension(leaf, SIMULATED_MARKER_OID, "platform.marker")
    if marked and not simulated:
        raise EvidenceRefused("platform.marker", "simulated hardware", "hardware")
    if simulated and not marked:
        raise EvidenceRefused("platform.marker", "no marker of simulated hardware", "simulated hardware, which is all this policy admits")


def _utc(seconds: int) -> str:
    """`seconds` for people; times that no calendar holds stay numbers."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if 0 <= seconds < _YEAR_10000 else str(seconds)
