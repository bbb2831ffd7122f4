"""Key sets: which keys are taken, for which algorithms, and which make the whole set refused."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.wire.jwk import ALGORITHMS, MAX_KEY_SET, decode_base64url, parse_key_set
from tests.issuing import jwk, key_set, private_key

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


def test_no_algorithm_is_symmetric_or_none() -> None:
    assert {*RSA, "ES256", "ES384", "ES512", "EdDSA"} == ALGORITHMS


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_key_serves_the_algorithms_of_its_type_alone(algorithm: str) -> None:
    found = parse_key_set(key_set(jwk(private_key(algorithm), "one")))
    served = {each for each in ALGORITHMS if found.find("one", each) is not None}
    assert served == (set(RSA) if algorithm in RSA else {algorithm})
    assert found.find("other", algorithm) is None


def test_a_keys_own_algorithm_narrows_it() -> None:
    found = parse_key_set(key_set(jwk(private_key("RS256"), "one", alg="PS256"), jwk(private_key("ES256"), "two", alg="RS256")))
    assert {each for each in ALGORITHMS if found.find("one", each) is not None} == {"PS256"}
    assert not any(found.find("two", each) for each in ALGORITHMS)


@pytest.mark.parametrize(
    "changed",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"kid": "k" * 257},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "XYZ"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"alg": 5},
        {"alg": "HS256"},
    ],
    ids=str,
)
def test_what_is_no_key_for_signatures_of_ours_is_passed_over(changed: dict[str, object]) -> None:
    found = parse_key_set(key_set(jwk(private_key("ES256"), "one") | changed, jwk(private_key("ES384"), "two")))
    assert found.find("one", "ES256") is None
    assert found.find("two", "ES384") is not None


def test_two_keys_of_one_name_are_none() -> None:
    found = parse_key_set(key_set(jwk(private_key("ES256"), "one"), jwk(private_key("ES256"), "one"), jwk(private_key("ES384"), "one")))
    assert len(found) == 3
    assert found.find("one", "ES256") is None
    assert found.find("one", "ES384") is not None


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(jwk(private_key("ES256"), "one", d="AA"), id="a private key"),
        pytest.param(jwk(private_key("ES256"), "one") | {"x": "AA"}, id="a short coordinate"),
        pytest.param(jwk(private_key("ES256"), "one") | {"y": "A" * 43}, id="no point of the curve"),
        pytest.param(jwk(private_key("ES256"), "one") | {"x": 5}, id="a coordinate that is no text"),
        pytest.param(jwk(private_key("EdDSA"), "one") | {"x": "AA"}, id="a short Ed25519 key"),
        pytest.param(jwk(rsa.generate_private_key(65537, 1024), "one"), id="a small RSA key"),
        pytest.param(jwk(private_key("RS256"), "one") | {"e": "Ag"}, id="an even exponent"),
        pytest.param(jwk(private_key("RS256"), "one") | {"n": ""}, id="no modulus"),
    ],
)
def test_a_malformed_key_makes_the_set_unusable(key: dict[str, object]) -> None:
    with pytest.raises(WireError):
        parse_key_set(key_set(key))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [1]}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"kid": "a", "kid": "b"}]}',
        json.dumps({"keys": [{}] * 257}).encode(),
        b'{"keys": []}' + b" " * MAX_KEY_SET,
    ],
    ids=range(9),
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_key_set(data)


@given(st.binary(max_size=400))
def test_nothing_but_our_error_escapes(data: bytes) -> None:
    try:
        parse_key_set(data)
    except WireError:
        return
    assert data.lstrip().startswith(b"{")


def test_base64url_has_one_spelling() -> None:
    assert decode_base64url("AA") == b"\0"
    assert [decode_base64url(text) for text in ("AA==", "AB", "A", "A+", "é", " AA", None, 5)] == [None] * 8
