"""The minted hypervisor: its documents have the form of AWS's, and each knob makes the defect that it names."""

from itertools import pairwise

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ollm.attest.certificates import SIMULATED_MARKER_OID
from ollm.testing.mint.nitro import MODULE_ID, PCRS, create_hypervisor
from tests.sim.hardware import NOW

HYPERVISOR = create_hypervisor(NOW)


def test_a_document_verifies_with_nothing_of_ours() -> None:
    protected, unprotected, payload, signature = cbor2.loads(HYPERVISOR.document(NOW, nonce=b"n"))
    fields = cbor2.loads(payload)

    assert (cbor2.loads(protected), unprotected) == ({1: -35}, {})
    assert list(fields) == ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"]
    assert (fields["module_id"], fields["pcrs"], fields["nonce"]) == (MODULE_ID, dict(PCRS), b"n")
    chain = [x509.load_der_x509_certificate(der) for der in (fields["certificate"], *reversed(fields["cabundle"]))]
    for certificate, issuer in pairwise(chain):
        certificate.verify_directly_issued_by(issuer)
    key = chain[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    key.verify(encode_dss_signature(r, s), cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA384()))


def test_the_enclave_says_that_it_is_simulated_unless_told_not_to() -> None:
    def marked(certificate: x509.Certificate) -> bool:
        return any(extension.oid.dotted_string == SIMULATED_MARKER_OID for extension in certificate.extensions)

    assert marked(HYPERVISOR.enclave.certificate)
    assert not marked(create_hypervisor(NOW, marked=False).enclave.certificate)


def test_knobs() -> None:
    assert HYPERVISOR.document(NOW, tagged=True)[0] == 0xD2
    assert cbor2.loads(HYPERVISOR.document(NOW, unprotected={4: b"k"}))[1] == {4: b"k"}
    assert len(create_hypervisor(NOW, path_lengths=()).authorities) == 1
    assert create_hypervisor(NOW, root=HYPERVISOR.root).root == HYPERVISOR.root
    bent = HYPERVISOR.document(NOW, bend=lambda fields: fields.pop("nonce"))
    assert "nonce" not in cbor2.loads(cbor2.loads(bent)[2])
