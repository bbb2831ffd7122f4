"""One curve, two keys: conversions against libsodium, and the points that must not pass."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings, exceptions

from ollm.errors import SealError
from ollm.seal.edwards import x25519_private, x25519_public
from tests.seal.peers import code_of

P = 2**255 - 19
# RFC 8032 §7.1, test 1; its X25519 form is the one of libsodium's own test.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
AS_X25519 = "d85e07ec22b0ad881537c2f44d662d1a143cf830c57aca4305d85c7a90f6b62e"

# y of the points of order 1, 2, 4 and 8; each but the first two stands for two points, one for either sign of x.
_ORDER_8 = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
LOW = [(1).to_bytes(32, "little"), (P - 1).to_bytes(32, "little"), bytes(32), *map(bytes.fromhex, _ORDER_8)]


def test_the_vector() -> None:
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    assert key.public_key().public_bytes_raw() == PUBLIC
    assert x25519_public(PUBLIC).hex() == AS_X25519
    assert x25519_private(key).public_key().public_bytes_raw().hex() == AS_X25519


@given(st.binary(min_size=32, max_size=32))
def test_keys_convert_as_libsodium_converts_them(seed: bytes) -> None:
    public, secret = bindings.crypto_sign_seed_keypair(seed)
    theirs = bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    assert x25519_public(public) == theirs
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert x25519_private(key).public_key().public_bytes_raw() == theirs
    assert bindings.crypto_scalarmult_base(bindings.crypto_sign_ed25519_sk_to_curve25519(secret)) == theirs


@given(st.binary(min_size=32, max_size=32))
def test_what_libsodium_takes_for_a_point_is_one_here(data: bytes) -> None:
    """libsodium also refuses points outside the main subgroup, which X25519 makes harmless; so it may refuse more."""
    try:
        theirs = bindings.crypto_sign_ed25519_pk_to_curve25519(data)
    except exceptions.RuntimeError:
        return
    assert x25519_public(data) == theirs


@pytest.mark.parametrize("point", LOW, ids=["order 1", "order 2", "order 4", "order 8", "order 8, the other"])
@pytest.mark.parametrize("sign", [0, 0x80])
def test_points_of_low_order_are_refused(point: bytes, sign: int) -> None:
    with pytest.raises(SealError, match="low order"):
        x25519_public(point[:31] + bytes([point[31] | sign]))


@pytest.mark.parametrize("y", [P, P + 1, 2**255 - 1, 2], ids=["p", "p + 1", "2^255 - 1", "off the curve"])
def test_what_is_no_canonical_point_is_refused(y: int) -> None:
    assert code_of(lambda: x25519_public(y.to_bytes(32, "little"))) == "INVALID_KEY_CONFIG"


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    assert code_of(lambda: x25519_public(bytes(size))) == "INVALID_KEY_CONFIG"


def test_half_of_all_strings_are_points() -> None:
    def is_point(data: bytes) -> bool:
        try:
            x25519_public(data)
        except SealError:
            return False
        return True

    assert 60 < sum(is_point(os.urandom(32)) for _ in range(200)) < 140
