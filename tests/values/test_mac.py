"""Our HMAC-SHA-256 is the standard library's, for every length around the block."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from ollm.values.mac import MacKey, hmac_sha256


@given(key=st.binary(max_size=200), message=st.binary(max_size=300))
def test_it_is_hmac(key: bytes, message: bytes) -> None:
    assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


def test_lengths_around_the_block() -> None:
    for length in (0, 1, 63, 64, 65, 127, 128):
        key = bytes(range(length % 256))[:length].ljust(length, b"k")
        assert MacKey(key).digest(b"message") == hmac.digest(key, b"message", "sha256")


def test_a_key_does_not_print_itself() -> None:
    assert "secret" not in repr(MacKey(b"secret"))
