"""Certificates of a Nitro document: up to the pinned root, each allowed to certify, all valid, and the last one signed the document."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ollm.attest.certificates import check_periods
from ollm.attest.nitro import genuine
from ollm.attest.nitro.genuine import SimulatedRoot, VendorRoot
from ollm.attest.nitro.layout import parse
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nitro import NitroHypervisor, create_hypervisor
from ollm.testing.mint.x509 import DAY, Authority, issue
from ollm.values.policy import NitroPolicy
from tests.sim.hardware import NOW

HYPERVISOR = create_hypervisor(NOW)
DOCUMENT = parse(HYPERVISOR.document(NOW))


def refused(check: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check)


def chain(hypervisor: NitroHypervisor) -> genuine.Chain:
    return genuine.load_chain(parse(hypervisor.document(NOW)))


def test_a_policy_admits_one_root() -> None:
    assert isinstance(genuine.root_of(NitroPolicy()), VendorRoot)
    simulated = genuine.root_of(NitroPolicy(simulated_root_sha256="51" * 32))
    assert (simulated.simulated, simulated.sha256) == (True, "51" * 32)


def test_the_root_is_the_pinned_one() -> None:
    genuine.check_root(DOCUMENT.cabundle, SimulatedRoot(HYPERVISOR.root.sha256))
    for stranger in (VendorRoot(), SimulatedRoot(create_hypervisor(NOW).root.sha256)):
        with refused("nitro.root"):
            genuine.check_root(DOCUMENT.cabundle, stranger)


def test_a_chain_holds_to_the_second_of_its_shortest_certificate() -> None:
    found = chain(HYPERVISOR)
    genuine.check_chain(found)
    assert found.authorities[-1] == HYPERVISOR.root.certificate
    assert [period.name for period in found.periods][:2] == ["enclave certificate", "CA certificate 4"]
    start, end = NOW - 3, NOW - 3 + 3 * 3600
    for now in (start, end - 1):
        check_periods(found.periods, now, "nitro.validity")
    for now in (start - 1, end):
        with pytest.raises(EvidenceRefused, match="enclave certificate valid"):
            check_periods(found.periods, now, "nitro.validity")


DEFECTS = {
    "a path longer than an authority allows": create_hypervisor(NOW, path_lengths=(1, 1, 0)),
    "an authority that is none": create_hypervisor(NOW, instance_authority=False),
    "certificates in another order": NitroHypervisor((HYPERVISOR.root, *reversed(HYPERVISOR.authorities[1:])), HYPERVISOR.enclave),
    "an authority left out": NitroHypervisor((*HYPERVISOR.authorities[:2], *HYPERVISOR.authorities[3:]), HYPERVISOR.enclave),
    "a leaf of another hierarchy": NitroHypervisor(HYPERVISOR.authorities, create_hypervisor(NOW).enclave),
    "a leaf that certifies": NitroHypervisor(
        HYPERVISOR.authorities, issue("enclave", HYPERVISOR.authorities[-1], start=NOW - 3, end=NOW + DAY, marked=True)
    ),
}


@pytest.mark.parametrize("what", DEFECTS)
def test_a_chain_with_a_defect_is_refused(what: str) -> None:
    with refused("nitro.chain"):
        genuine.check_chain(chain(DEFECTS[what]))


def test_the_shortest_chain_is_a_root_and_a_leaf() -> None:
    genuine.check_chain(chain(create_hypervisor(NOW, path_lengths=())))


def test_bytes_that_are_no_certificate_are_refused() -> None:
    with refused("nitro.chain"):
        genuine.load_chain(parse(HYPERVISOR.document(NOW, bend=lambda fields: fields.update(certificate=b"certificate"))))


def test_the_signature_is_the_leafs() -> None:
    genuine.check_signature(DOCUMENT, HYPERVISOR.enclave.certificate)
    with refused("nitro.signature"):
        genuine.check_signature(DOCUMENT, HYPERVISOR.root.certificate)


def test_a_leaf_with_another_kind_of_key_is_refused() -> None:
    other_curve = issue("enclave", HYPERVISOR.authorities[-1], start=NOW, end=NOW + 9, authority=False, key=ec.generate_private_key(ec.SECP256R1()))
    with refused("nitro.signature"):
        genuine.check_signature(DOCUMENT, other_curve.certificate)


def test_a_leaf_with_a_key_that_is_no_point_is_refused() -> None:
    leaf: Authority = HYPERVISOR.enclave
    numbers = leaf.key.public_key().public_numbers()
    point = numbers.x.to_bytes(48, "big") + numbers.y.to_bytes(48, "big")
    not_on_the_curve = x509.load_der_x509_certificate(leaf.der.replace(point, point[:-1] + bytes([point[-1] ^ 1])))
    with refused("nitro.signature"):
        genuine.check_signature(DOCUMENT, not_on_the_curve)
