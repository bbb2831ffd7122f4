"""The bare cryptography really checks: a changed signature is noticed."""

import warnings

import pytest
from cryptography.exceptions import InvalidSignature

from bench import bare
from bench.evidence import NOW
from ollm.testing.mint import nvidia as mint_nvidia
from ollm.testing.mint.nitro import create_hypervisor
from ollm.testing.mint.nras import create_service
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki


def test_signatures_and_certificates_are_counted_and_checked() -> None:
    hypervisor = create_hypervisor(NOW)
    document = hypervisor.document(NOW)
    found = bare.of_nitro(document)

    assert str(found) == "5 signatures, 5 certificates"
    found()
    with pytest.raises(InvalidSignature):
        bare.of_nitro(document[:-1] + bytes((document[-1] ^ 1,)))()


def test_each_kind() -> None:
    service, nonce = create_service(NOW), bytes(32)
    device = mint_nvidia.create(NOW).device()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine = SnpMachine(create_pki("Genoa", NOW), NOW)
        assert str(bare.of_snp(machine.report(), machine.collateral())) == "4 signatures, 3 certificates"
    assert str(bare.of_nras(service.bundle(NOW, nonce), service.jwks())) == "5 signatures, 3 certificates"
    assert str(bare.of_nvidia(device.evidence(nonce), device.collateral(NOW))) == "25 signatures, 19 certificates"
