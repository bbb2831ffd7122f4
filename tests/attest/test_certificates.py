"""X.509 for appraisal: what `cryptography` raises becomes a refusal with our name, and periods end where they say."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from ollm.attest import certificates
from ollm.attest.certificates import Period
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import Authority, create_pki
from ollm.sim.quote import raw_public_key
from ollm.testing.mint.x509 import create_root, issue
from tests.sim.hardware import NOW

OTHER = create_pki(NOW)


def refused(check: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check)


def crl(issuer: Authority, **changes: object) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(OTHER.crl(issuer, issued=NOW - 10, expires=NOW + 10, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x00", b"certificate"])
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with refused("some.check"):
        certificates.load_certificate(der, "some.check")


def test_a_version_that_x509_does_not_have_is_refused() -> None:
    der = bytearray(OTHER.root_der)
    version = bytes(der).index(b"\xa0\x03\x02\x01\x02") + 4
    der[version] = 9  # cryptography raises InvalidVersion, which is no ValueError

    with refused("some.check"):
        certificates.load_certificate(bytes(der), "some.check")


@pytest.mark.parametrize("pem", ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_text_that_is_no_chain_is_refused(pem: str) -> None:
    with refused("some.check"):
        certificates.load_chain(pem, "some.check", "chain")


def test_bytes_that_are_no_crl_are_refused() -> None:
    with refused("some.check"):
        certificates.load_crl(OTHER.root_der, "some.check", "CRL")


def test_periods_begin_with_their_first_second_and_end_before_their_last() -> None:
    periods = (Period("document", NOW, NOW + 60),)

    certificates.check_periods(periods, NOW, "some.check")
    certificates.check_periods(periods, NOW + 59, "some.check")
    with pytest.raises(EvidenceRefused, match=r"document valid from 2027-01-15T08:00:00Z.*2027-01-15T07:59:59Z"):
        certificates.check_periods(periods, NOW - 1, "some.check")
    with pytest.raises(EvidenceRefused, match=r"document valid until 2027-01-15T08:01:00Z"):
        certificates.check_periods(periods, NOW + 60, "some.check")


@pytest.mark.parametrize("now", [-1, 10**12, 2**70])
def test_times_that_no_calendar_holds_are_refused_as_numbers(now: int) -> None:
    with pytest.raises(EvidenceRefused, match=str(now)):
        certificates.check_periods((Period("document", NOW, NOW + 60),), now, "some.check")


def test_certificate_and_crl_periods_are_their_own() -> None:
    period = certificates.certificate_period(OTHER.root.certificate, "root")
    assert period.start == int(OTHER.root.certificate.not_valid_before_utc.timestamp())
    assert period.end == int(OTHER.root.certificate.not_valid_after_utc.timestamp())
    assert certificates.crl_period(crl(OTHER.root), "some.check", "CRL") == Period("CRL", NOW - 10, NOW + 10)


def test_a_crl_that_never_ends_is_refused() -> None:
    class Endless:
        next_update_utc = None

    with refused("some.check"):
        certificates.crl_period(Endless(), "some.check", "CRL")  # type: ignore[arg-type]  # cryptography builds no such CRL


def test_issuers_are_told_apart(machine: SimulatedMachine) -> None:
    certificates.check_issued(machine.pck, machine.pki.platform_ca.certificate, "some.check", "PCK certificate")
    for stranger in (OTHER.platform_ca, machine.pki.root):
        with refused("some.check"):
            certificates.check_issued(machine.pck, stranger.certificate, "some.check", "PCK certificate")


def test_crls_are_by_their_issuer(machine: SimulatedMachine) -> None:
    certificates.check_crl(crl(OTHER.root), OTHER.root.certificate, "some.check", "CRL")
    for stranger in (machine.pki.root, OTHER.platform_ca):
        with refused("some.check"):
            certificates.check_crl(crl(OTHER.root), stranger.certificate, "some.check", "CRL")


def unused_bit(der: bytes, signature: bytes) -> bytes:
    """`der`, whose signature's last bit is zero, with that bit declared unused: still DER, and signed the same."""
    at = len(der) - len(signature) - 1
    return der[:at] + b"\x01" + der[at + 1 :]


def test_a_signature_is_spelled_in_one_way() -> None:
    root = OTHER.root
    listings = (crl(root) for _ in range(200))  # each signature is another one; half of them end in a zero bit
    even = next(listing for listing in listings if not listing.signature[-1] & 1)
    bent = x509.load_der_x509_crl(unused_bit(even.public_bytes(serialization.Encoding.DER), even.signature))
    issued = (create_pki(NOW) for _ in range(200))
    pki = next(each for each in issued if not each.platform_ca.certificate.signature[-1] & 1)
    certificate = x509.load_der_x509_certificate(unused_bit(pki.platform_ca.der, pki.platform_ca.certificate.signature))

    certificate.verify_directly_issued_by(pki.root.certificate)  # the library does not see it
    with pytest.raises(EvidenceRefused, match="1 unused bits"):
        certificates.check_issued(certificate, pki.root.certificate, "some.check", "CA")
    with pytest.raises(EvidenceRefused, match="1 unused bits"):
        certificates.check_crl(bent, root.certificate, "some.check", "CRL")


def test_a_crl_by_the_same_key_under_another_name_is_refused() -> None:
    root = OTHER.root.certificate
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(OTHER.root.key.public_key()).serial_number(1)
    renamed = builder.not_valid_before(root.not_valid_before_utc).not_valid_after(root.not_valid_after_utc).sign(OTHER.root.key, hashes.SHA256())

    with refused("some.check"):
        certificates.check_crl(crl(OTHER.root), renamed, "some.check", "CRL")


def test_an_issuer_with_another_kind_of_key_signs_no_crl() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = OTHER.root.certificate.subject
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(OTHER.root.certificate.not_valid_before_utc).not_valid_after(OTHER.root.certificate.not_valid_after_utc)
    other_kind = builder.sign(key, None)

    with refused("some.check"):
        certificates.check_crl(crl(OTHER.root), other_kind, "some.check", "CRL")


def test_a_key_that_cannot_be_read_signs_no_crl() -> None:
    point = raw_public_key(OTHER.root.key.public_key())
    not_on_the_curve = x509.load_der_x509_certificate(OTHER.root_der.replace(point, point[:-1] + bytes([point[-1] ^ 1])))

    with refused("some.check"):
        certificates.check_crl(crl(OTHER.root), not_on_the_curve, "some.check", "CRL")


def test_revoked_is_who_is_listed() -> None:
    leaf, other = OTHER.platform_ca.certificate, OTHER.processor_ca.certificate
    listing = crl(OTHER.root, revoked=(leaf.serial_number,))

    certificates.check_not_revoked(listing, other, "some.check", "CA")
    with pytest.raises(EvidenceRefused, match="CA revoked"):
        certificates.check_not_revoked(listing, leaf, "some.check", "CA")


def test_extensions_are_found_by_oid(machine: SimulatedMachine) -> None:
    assert certificates.has_extension(machine.pck, "2.5.29.19", "some.check")
    assert not certificates.has_extension(machine.pck, "1.2.3", "some.check")


def test_an_extension_twice_is_refused() -> None:
    # Two different unknown extensions whose OIDs are made equal afterwards: cryptography itself would not build that.
    builder = x509.CertificateBuilder().subject_name(OTHER.root.certificate.subject).issuer_name(OTHER.root.certificate.subject)
    builder = builder.public_key(OTHER.root.key.public_key()).serial_number(1)
    builder = builder.not_valid_before(OTHER.root.certificate.not_valid_before_utc).not_valid_after(OTHER.root.certificate.not_valid_after_utc)
    for last in (41, 42):
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.32473.{last}"), b"\x05\x00"), critical=False)
    der = builder.sign(OTHER.root.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    doubled = x509.load_der_x509_certificate(der.replace(b"\x81\xfd\x59\x2a", b"\x81\xfd\x59\x29"))

    with refused("some.check"):
        certificates.has_extension(doubled, "1.2.3", "some.check")


AUTHORITY = create_root("root", NOW)


def issued(**changes: Any) -> x509.Certificate:
    return issue("subject", AUTHORITY, start=NOW, end=NOW + 10, **changes).certificate


def test_an_authority_may_issue_as_deep_as_it_says() -> None:
    certificates.check_authority(AUTHORITY.certificate, 9, "some.check", "root")
    certificates.check_authority(issued(path_length=1), 1, "some.check", "CA")
    with refused("some.check"):
        certificates.check_authority(issued(authority=False, certifying=True), 0, "some.check", "CA")
    for defect in (issued(path_length=0), issued(authority=False), issued(path_length=1, certifying=False), issued(path_length=1, key_usage=False)):
        with refused("some.check"):
            certificates.check_authority(defect, 1, "some.check", "CA")


def test_a_signer_signs_documents_and_no_certificates() -> None:
    certificates.check_signer(issued(authority=False), "some.check", "leaf")
    for defect in (issued(), issued(authority=False, certifying=True), issued(authority=False, key_usage=False)):
        with refused("some.check"):
            certificates.check_signer(defect, "some.check", "leaf")


def test_a_critical_extension_that_nobody_judges_is_refused() -> None:
    constraint = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.7"), b"\x05\x00")
    certificates.check_signer(issued(authority=False, extensions=[(constraint, False)]), "some.check", "leaf")
    with pytest.raises(EvidenceRefused, match=r"critical extension 1\.3\.6\.1\.4\.1\.32473\.7"):
        certificates.check_signer(issued(authority=False, extensions=[(constraint, True)]), "some.check", "leaf")
