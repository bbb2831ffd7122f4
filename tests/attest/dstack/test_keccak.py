"""Keccak-256: the padding alone tells it from SHA3-256, which `hashlib` has."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.dstack.keccak import keccak_256


@pytest.mark.parametrize(
    ("data", "digest"),
    [  # Keccak team, KeccakKAT: ShortMsgKAT_256; the first is also Ethereum's hash of nothing
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"),
    ],
)
def test_published_vectors(data: bytes, digest: str) -> None:
    assert keccak_256(data).hex() == digest


@pytest.mark.parametrize("size", [0, 1, 134, 135, 136, 137, 271, 272, 273, 1000])
def test_with_the_padding_of_fips_202_it_is_sha3_at_every_edge_of_a_block(size: int) -> None:
    data = bytes(index % 251 for index in range(size))

    assert keccak_256(data, 0x06) == hashlib.sha3_256(data).digest()


@given(st.binary(max_size=400))
def test_with_the_padding_of_fips_202_it_is_sha3(data: bytes) -> None:
    assert keccak_256(data, 0x06) == hashlib.sha3_256(data).digest()
