"""XChaCha20-Poly1305 against the draft's vectors and libsodium."""

from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from ollm.seal.xchacha import hchacha20, seal, unseal
from tests.seal.peers import code_of

KEY = st.binary(min_size=32, max_size=32)
NONCE = st.binary(min_size=24, max_size=24)


def test_hchacha20_of_the_draft() -> None:
    """draft-irtf-cfrg-xchacha-03 §2.2.1."""
    subkey = hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    assert subkey.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


@given(key=KEY, nonce=NONCE, plaintext=st.binary(max_size=300))
def test_both_ways_with_libsodium(key: bytes, nonce: bytes, plaintext: bytes) -> None:
    ciphertext = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, nonce, key)
    assert seal(key, nonce, plaintext) == ciphertext
    assert unseal(key, nonce, ciphertext) == plaintext


@given(key=KEY, nonce=NONCE, place=st.integers(0, 20), mask=st.integers(1, 255))
def test_any_change_is_told(key: bytes, nonce: bytes, place: int, mask: int) -> None:
    ciphertext = bytearray(seal(key, nonce, b"hello"))
    ciphertext[place] ^= mask
    assert code_of(lambda: unseal(key, nonce, bytes(ciphertext))) == "AEAD_DECRYPT_FAILED"
