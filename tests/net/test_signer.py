"""The receipt-signing key."""

import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ollm.net.signer import Ed25519Signer


def test_what_it_signs_verifies_under_its_public_key() -> None:
    signer = Ed25519Signer(bytes(range(32)))
    Ed25519PublicKey.from_public_bytes(signer.public_key).verify(signer.sign(b"message"), b"message")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=2048))
def test_openssl_would_have_signed_the_same(seed: bytes, message: bytes) -> None:
    signer, other = Ed25519Signer(seed), Ed25519PrivateKey.from_private_bytes(seed)
    assert signer.sign(message) == other.sign(message)
    assert signer.public_key == other.public_key().public_bytes_raw()


def test_the_key_id_changes_exactly_with_the_key() -> None:
    one, same, other = Ed25519Signer(bytes(32)), Ed25519Signer(bytes(32)), Ed25519Signer(b"\x01" * 32)
    assert one.key_id == same.key_id != other.key_id
    assert one.key_id.startswith("receipt-")
    assert (one.public_key, len(one.public_key)) == (same.public_key, 32)


def test_the_key_shows_in_no_repr() -> None:
    seed = os.urandom(32)
    assert seed.hex() not in repr(vars(Ed25519Signer(seed))) and repr(seed) not in repr(vars(Ed25519Signer(seed)))
