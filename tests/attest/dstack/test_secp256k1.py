"""Telling the signer of an ECDSA signature: against a library's signatures, and where there is none to tell."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from ollm.attest.dstack import secp256k1
from ollm.attest.dstack.secp256k1 import recover

DIGEST = bytes(range(32))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@pytest.mark.parametrize("private", [1, 2, 3, ORDER - 1, 0xC0FFEE])
def test_one_of_two_parities_names_the_signer(private: int) -> None:
    key = ec.derive_private_key(private, ec.SECP256K1())
    r, s = decode_dss_signature(key.sign(DIGEST, ec.ECDSA(Prehashed(hashes.SHA256()))))
    found = {recover(DIGEST, r, s, parity) for parity in (0, 1)}
    assert point(key) in found
    assert len(found) == 2
    assert point(key) not in {recover(bytes(32), r, s, parity) for parity in (0, 1)}


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (ORDER, 1), (1, ORDER), (2**256 - 1, 1)])
def test_numbers_beyond_the_group_are_no_signature(r: int, s: int) -> None:
    assert recover(DIGEST, r, s, 0) is None


def test_an_r_that_is_on_no_point() -> None:
    assert recover(DIGEST, 5, 1, 0) is None  # 5³ + 7 is no square in the field


def test_a_signature_that_leads_to_the_neutral_element() -> None:
    """s·R = e·G: R is G itself, and s the digest."""
    generator = int("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", 16)
    assert recover(DIGEST, generator, int.from_bytes(DIGEST, "big"), 0) is None


def test_doubling_what_is_its_own_negative() -> None:
    assert secp256k1._add((1, 0), (1, 0)) is None
