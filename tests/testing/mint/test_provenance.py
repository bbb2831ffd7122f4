"""The minted Sigstore is in the true format: what others read in it is what was meant."""

import hashlib
from datetime import UTC

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ollm.attest.provenance import envelope, identity, statement, witness
from ollm.attest.provenance.reference_values import REFERENCE_VALUES
from ollm.testing.mint import provenance as mint
from ollm.testing.mint.provenance import BUILD, SUBJECT, Sigstore

NOW = 1_790_000_000
SIGSTORE = Sigstore(NOW)


def test_a_certificate_names_its_build_and_carries_one_receipt_of_the_log() -> None:
    certificate = SIGSTORE.certificate(NOW, mint.extensions()).certificate
    certificate.verify_directly_issued_by(SIGSTORE.intermediate.certificate)
    assert identity.certified_build(certificate) == BUILD
    receipts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    assert [receipt.timestamp.replace(tzinfo=UTC).timestamp() for receipt in receipts] == [NOW]
    unlogged = SIGSTORE.certificate(NOW, mint.extensions(), logged=False).certificate
    assert all(extension.oid.dotted_string != "1.3.6.1.4.1.11129.2.4.2" for extension in unlogged.extensions)


def test_a_build_with_changes_signs_for_itself_unless_it_is_said_otherwise() -> None:
    assert mint.built(ref="refs/tags/v2").signer.endswith("release.yml@refs/tags/v2")
    assert mint.built(signer="a/b/c@d").signer == "a/b/c@d"


def test_a_statement_and_a_value_say_the_same() -> None:
    read = statement.parse(mint.statement("urn:x", {"a": 1}))
    value = mint.verified("urn:x", {"a": 1}, NOW)
    assert (read.subjects, read.predicate_type, read.predicate) == (value.subjects, value.predicate_type, value.predicate)
    assert hashlib.sha256(b"release.json").hexdigest() == SUBJECT.sha256


def test_a_bundle_has_one_entry_and_one_time() -> None:
    first, second = SIGSTORE.bundle(b"{}", NOW), SIGSTORE.bundle_v2(b"{}", NOW)
    for bundle, kind in ((first, "dsse"), (second, "hashedrekord")):
        entry = bundle["verificationMaterial"]["tlogEntries"][0]
        assert entry["kindVersion"]["kind"] == kind
    assert "rfc3161Timestamps" in second["verificationMaterial"]["timestampVerificationData"]


def test_a_sealed_statement_opens_with_its_key() -> None:
    key = Ed25519PrivateKey.generate()
    sealed = mint.sealed(mint.statement(REFERENCE_VALUES, {"issued_at": NOW, "expires_at": NOW + 1}), key)
    assert envelope.verify(mint.packed(sealed), (key.public_key().public_bytes_raw().hex(),)).signed_at == NOW


def test_a_witness_endorses_the_minted_release() -> None:
    assert mint.witness_of()["format"] == witness.WITNESS
    assert mint.witness_of(tag="v9")["endorses"]["tag"] == "v9"
