"""The keyset lists exactly the keys that are held."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ollm.errors import ConfigError
from ollm.sim.identity import create_identity, create_tls, identity_beside, spki_sha256
from tests.sim.hardware import NOW


def test_a_keyset_lists_the_keys_of_its_service_one_role_each() -> None:
    identity = create_identity(NOW)
    keyset = identity.keyset(not_after=NOW + 60)
    assert keyset.not_after == NOW + 60
    assert keyset.hpke_key() == identity.hpke_public_key
    assert [key.spki_sha256 for key in keyset.tls_public_keys] == [identity.spki_sha256]
    assert [key.public_key for key in keyset.receipt_signing_keys] == [identity.signer.public_key.hex()]


def test_two_enclaves_share_no_key() -> None:
    one, other = create_identity(NOW), create_identity(NOW)
    assert one.keyset(not_after=0).digest() != other.keyset(not_after=0).digest()
    assert one.spki_sha256 != other.spki_sha256


def test_the_certificate_is_for_loopback_and_serves_tls() -> None:
    certificate, tls = create_tls(NOW)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    tls.context()


def test_the_key_of_another_server_is_attested_without_a_sealing_key(tmp_path: Path) -> None:
    certificate, tls = create_tls(NOW)
    key_file, certificate_file = tmp_path / "key.pem", tmp_path / "cert.pem"
    key_file.write_bytes(tls.key.expose())
    certificate_file.write_bytes(tls.certificate)
    identity = identity_beside(key_file, certificate_file)
    assert identity.spki_sha256 == spki_sha256(certificate)
    assert identity.tls is None
    assert identity.keyset(not_after=NOW).e2ee_public_keys == ()


def test_files_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    _, tls = create_tls(NOW)
    other, _ = create_tls(NOW)
    key_file, certificate_file = tmp_path / "key.pem", tmp_path / "cert.pem"
    with pytest.raises(ConfigError, match="can't read"):
        identity_beside(key_file, certificate_file)
    key_file.write_bytes(tls.key.expose())
    certificate_file.write_bytes(b"no PEM")
    with pytest.raises(ConfigError, match="PEM"):
        identity_beside(key_file, certificate_file)
    certificate_file.write_bytes(other.public_bytes(Encoding.PEM))
    with pytest.raises(ConfigError, match="belong together"):
        identity_beside(key_file, certificate_file)
