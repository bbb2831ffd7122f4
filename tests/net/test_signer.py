"""The receipt-signing key."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ollm.net.signer import Ed25519Signer


def test_what_it_signs_verifies_under_its_public_key() -> None:
    signer = Ed25519Signer(bytes(range(32)))
    Ed25519PublicKey.from_public_bytes(signer.public_key).verify(signer.sign(b"message"), b"message")


def test_the_key_id_changes_exactly_with_the_key() -> None:
    one, same, other = Ed25519Signer(bytes(32)), Ed25519Signer(bytes(32)), Ed25519Signer(b"\x01" * 32)
    assert one.key_id == same.key_id != other.key_id
    assert one.key_id.startswith("receipt-")
    assert (one.public_key, len(one.public_key)) == (same.public_key, 32)
