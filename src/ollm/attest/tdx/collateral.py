"""Collateral, parsed so far that its periods, revocations and signers can be judged and explained.

The verifying library judges it too and has the last word on Intel's signatures and the TCB. It does not refuse a CRL from the
future, names neither the certificate nor the document at fault, and says nothing of when an acceptance ends.
"""

import re
from datetime import UTC, datetime

import msgspec
from cryptography import x509

from ollm.attest.evidence import TdxCollateral
from ollm.errors import EvidenceRefused

_CHECK = "collateral.format"
_MAX_DOCUMENT = 1024 * 1024  # a PCK CRL of some thousand entries has 200 KB
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class _TcbDates(msgspec.Struct, frozen=True, rename="camel"):
    issue_date: str
    next_update: str


class Period(msgspec.Struct, frozen=True):
    """From when (included) until when (excluded, as the verifying library does for CRLs) a document `name` holds, Unix seconds."""

    name: str
    start: int
    end: int


class ParsedCollateral(msgspec.Struct, frozen=True):
    """Collateral in the types that our own checks need."""

    source: TdxCollateral
    root_crl: x509.CertificateRevocationList
    pck_crl: x509.CertificateRevocationList
    tcb_signing: x509.Certificate
    qe_signing: x509.Certificate
    periods: tuple[Period, ...]


def parse(collateral: TdxCollateral) -> ParsedCollateral:
    """Parse `collateral`. Raises: EvidenceRefused with collateral.format."""
    root_crl, pck_crl = _crl(collateral.root_ca_crl, "root CRL"), _crl(collateral.pck_crl, "PCK CRL")
    tcb_chain = _chain(collateral.tcb_info_issuer_chain, "TCB info issuer chain")
    qe_chain = _chain(collateral.qe_identity_issuer_chain, "QE identity issuer chain")
    signers = (certificate_period(cert, "TCB signing certificate") for cert in (tcb_chain[0], qe_chain[0]))
    periods = (
        _document_period(collateral.tcb_info, "TCB info"),
        _document_period(collateral.qe_identity, "QE identity"),
        _crl_period(root_crl, "root CRL"),
        _crl_period(pck_crl, "PCK CRL"),
        *signers,
    )
    return ParsedCollateral(collateral, root_crl, pck_crl, tcb_chain[0], qe_chain[0], periods)


def check_periods(periods: tuple[Period, ...], now: int, check: str) -> None:
    """Refuse when one of `periods` doesn't hold at `now`, under the name `check`. Raises: EvidenceRefused."""
    for period in periods:
        if now < period.start:
            raise EvidenceRefused(check, f"{period.name} valid from {_utc(period.start)}", f"valid at {_utc(now)}")
        if now >= period.end:
            raise EvidenceRefused(check, f"{period.name} valid until {_utc(period.end)}", f"valid at {_utc(now)}")


def certificate_period(certificate: x509.Certificate, name: str) -> Period:
    """When `certificate` holds."""
    return Period(name, int(certificate.not_valid_before_utc.timestamp()), int(certificate.not_valid_after_utc.timestamp()))


def _crl(der: bytes, name: str) -> x509.CertificateRevocationList:
    if len(der) > _MAX_DOCUMENT:
        raise EvidenceRefused(_CHECK, f"{name} of {len(der)} bytes", f"at most {_MAX_DOCUMENT}")
    try:
        return x509.load_der_x509_crl(der)
    except ValueError:
        raise EvidenceRefused(_CHECK, f"{name} that is no CRL", "DER of a CRL") from None


def _crl_period(crl: x509.CertificateRevocationList, name: str) -> Period:
    if crl.next_update_utc is None:
        raise EvidenceRefused(_CHECK, f"{name} without nextUpdate", "one that ends")
    return Period(name, int(crl.last_update_utc.timestamp()), int(crl.next_update_utc.timestamp()))


def _chain(pem: str, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode()[:_MAX_DOCUMENT])
    except ValueError:
        raise EvidenceRefused(_CHECK, f"{name} that is no certificate chain", "PEM certificates") from None


def _document_period(document: str, name: str) -> Period:
    if len(document) > _MAX_DOCUMENT:
        raise EvidenceRefused(_CHECK, f"{name} of {len(document)} characters", f"at most {_MAX_DOCUMENT}")
    try:
        dates = msgspec.json.decode(document, type=_TcbDates)
        return Period(name, _seconds(dates.issue_date), _seconds(dates.next_update))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise EvidenceRefused(_CHECK, f"{name} without its dates", "JSON with issueDate and nextUpdate, as 2026-01-31T00:00:00Z") from None


def _seconds(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise ValueError
    return int(datetime.fromisoformat(text).timestamp())


def _utc(seconds: int) -> str:
    """`seconds` for people; times beyond year 9999 stay numbers."""
    if 0 <= seconds < 253_402_300_800:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(seconds)
