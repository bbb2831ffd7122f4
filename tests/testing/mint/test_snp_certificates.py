"""Certificates and CRLs in AMD's form: as the vendor's where no knob is turned, and wrong in one way where one is."""

import hashlib

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.testing.mint import snp_certificates as mint

NOW = 1_800_000_000
PKI = mint.create_pki("Genoa", NOW)
KEY = ec.generate_private_key(ec.SECP384R1()).public_key()
STATEMENTS = mint.leaf_statements("Genoa", bytes((4, 0, 0, 0, 0, 0, 24, 219)), chip_id=bytes(64))


def leaf(**changes: object) -> x509.Certificate:
    arguments: dict[str, object] = {"start": NOW, "end": NOW + mint.DAY}
    return x509.load_der_x509_certificate(mint.issue_leaf(PKI.ask, KEY, STATEMENTS, **{**arguments, **changes}))  # type: ignore[arg-type]


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_the_hierarchy() -> None:
    assert [common_name(each.certificate) for each in (PKI.ark, PKI.ask, PKI.asvk)] == ["ARK-Genoa", "SEV-Genoa", "SEV-VLEK-Genoa"]
    for each in (PKI.ark, PKI.ask, PKI.asvk):
        each.certificate.verify_directly_issued_by(PKI.ark.certificate)
        assert each.certificate.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
        assert isinstance(each.certificate.signature_hash_algorithm, hashes.SHA384)
        assert x509.load_pem_x509_certificate(each.pem.encode()) == each.certificate


def test_the_pin_is_of_the_public_key() -> None:
    spki = PKI.ark.certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    assert PKI.root_sha256 == hashlib.sha256(spki).hexdigest()


def test_a_leaf_has_serial_number_0_and_a_good_signature() -> None:
    certificate = leaf()

    assert certificate.serial_number == 0
    certificate.verify_directly_issued_by(PKI.ask.certificate)
    assert leaf(serial=7).serial_number == 7
    with pytest.raises(InvalidSignature):
        PKI.asvk.key.public_key().verify(
            certificate.signature, certificate.tbs_certificate_bytes, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384()
        )


def test_a_leafs_extensions_are_amds_and_the_marker() -> None:
    stated = {extension.oid.dotted_string: extension.value.public_bytes() for extension in leaf().extensions}

    assert stated == {**{mint.AMD_ARC + oid: value for oid, value in STATEMENTS.items()}, SIMULATED_MARKER_OID: b"\x05\x00"}
    assert SIMULATED_MARKER_OID not in [extension.oid.dotted_string for extension in leaf(marked=False).extensions]
    assert [extension.oid.dotted_string for extension in leaf(critical="2").extensions if extension.critical] == [mint.AMD_ARC + "2"]


@pytest.mark.parametrize(("product", "name", "version"), [("Milan", "Milan-B0", 0), ("Genoa", "Genoa", 0), ("Turin", "Turin", 1)])
def test_statements_of_each_product(product: str, name: str, version: int) -> None:
    statements = mint.leaf_statements(product, bytes(range(8)), chip_id=bytes(8))

    assert (statements["1"], statements["2"]) == (mint.integer(version), mint.ia5_string(name))
    assert ("3.9" in statements) == (product == "Turin")
    assert {statements[oid] for oid in statements if oid.startswith("3.")} == {mint.integer(number) for number in range(8)}
    provider = mint.leaf_statements(product, bytes(8), csp_id="CN=x")
    assert (provider["2"], provider["5"], "4" in provider) == (mint.ia5_string(product), mint.ia5_string("CN=x"), False)


def test_numbers_are_der() -> None:
    assert [mint.integer(number).hex() for number in (0, 0x7F, 0x80, 0xFF)] == ["020100", "02017f", "02020080", "020200ff"]


def test_crls() -> None:
    crl = x509.load_der_x509_crl(PKI.crl(issued=NOW, expires=NOW + 1, revoked=(5, 6)))
    weak = x509.load_der_x509_crl(PKI.crl(issued=NOW, expires=NOW + 1, digest=hashes.SHA256()))

    assert crl.is_signature_valid(PKI.ark.key.public_key()) and weak.is_signature_valid(PKI.ark.key.public_key())
    assert (crl.signature_algorithm_oid, weak.signature_algorithm_oid) == (SignatureAlgorithmOID.RSASSA_PSS, SignatureAlgorithmOID.RSA_WITH_SHA256)
    assert [entry.serial_number for entry in crl] == [5, 6]
    foreign = x509.load_der_x509_crl(PKI.crl(issued=NOW, expires=NOW + 1, issuer=PKI.ask))
    assert not foreign.is_signature_valid(PKI.ark.key.public_key())
