"""Minted certificates: who issued them, for how long, and each defect that can be asked for."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ollm.testing.mint.x509 import DAY, create_root, issue, new_key
from tests.sim.hardware import NOW

ROOT = create_root("root", NOW)


def test_a_root_signs_itself_and_is_named_by_its_digest() -> None:
    ROOT.certificate.verify_directly_issued_by(ROOT.certificate)
    assert ROOT.sha256 == ROOT.certificate.fingerprint(hashes.SHA256()).hex()
    assert x509.load_der_x509_certificate(ROOT.der) == ROOT.certificate
    assert int(ROOT.certificate.not_valid_before_utc.timestamp()) == NOW - DAY


def test_what_it_issues_has_the_key_and_the_period_that_were_asked_for() -> None:
    key = new_key()
    issued = issue("leaf", ROOT, start=NOW, end=NOW + 60, authority=False, key=key)
    issued.certificate.verify_directly_issued_by(ROOT.certificate)
    assert issued.certificate.public_key() == key.public_key()
    assert int(issued.certificate.not_valid_after_utc.timestamp()) == NOW + 60


def constraints(certificate: x509.Certificate) -> tuple[bool, int | None]:
    value = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    return value.ca, value.path_length


def test_authorities_leaves_and_what_is_neither() -> None:
    assert constraints(ROOT.certificate) == (True, None)
    assert constraints(issue("ca", ROOT, start=NOW, end=NOW + 9, path_length=2).certificate) == (True, 2)
    leaf = issue("leaf", ROOT, start=NOW, end=NOW + 9, authority=False, certifying=True).certificate
    assert constraints(leaf) == (False, None)
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    with pytest.raises(x509.ExtensionNotFound):
        issue("leaf", ROOT, start=NOW, end=NOW + 9, key_usage=False).certificate.extensions.get_extension_for_class(x509.KeyUsage)


def test_extensions_can_be_added() -> None:
    extra = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.7"), b"\x05\x00")
    certificate = issue("leaf", ROOT, start=NOW, end=NOW + 9, extensions=[(extra, True)]).certificate
    assert certificate.extensions.get_extension_for_oid(extra.oid).critical
