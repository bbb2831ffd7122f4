"""Compact tokens: one spelling, one algorithm, no key of their own."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.tokens import jws
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nras import create_service, encode_json, hmac_token, unsigned_token
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

SERVICE = create_service(NOW)
TOKEN = SERVICE.token({"iss": "x", "number": 1})
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")


def refusal(compact: str) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as raised:
        jws.parse(compact, "GPU-0")
    return raised.value


def test_a_token_is_taken_apart_and_verified() -> None:
    token = jws.parse(TOKEN, "GPU-0")

    assert (token.name, token.key_id, token.claims) == ("GPU-0", SERVICE.key_id, {"iss": "x", "number": 1})
    jws.verify(token, SERVICE.signing.key.public_key())


def test_the_identity_leaves_out_the_signature_and_the_digest_covers_it() -> None:
    again = jws.parse(SERVICE.token({"iss": "x", "number": 1}), "GPU-0")  # the same claims, signed again
    token = jws.parse(TOKEN, "GPU-0")
    assert again.identity == token.identity
    assert again.digest != token.digest


def test_another_key_or_another_curve_did_not_sign() -> None:
    token = jws.parse(TOKEN, "GPU-0")
    for key in (create_service(NOW).signing.key, ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(EvidenceRefused, match=r"nras\.signature: got token GPU-0 with another signature"):
            jws.verify(token, key.public_key())


ALGORITHMS = {
    "none": unsigned_token({"iss": "x"}),
    "none with a signature": f"{encode_json({'alg': 'none'})}.{PAYLOAD}.{SIGNATURE}",
    "HS256 with a word as key": hmac_token({"iss": "x"}, b"secret"),
    "HS384 under the public key": SERVICE.token({}, alg="HS384"),
    "ES256": SERVICE.token({}, alg="ES256"),
    "es384": SERVICE.token({}, alg="es384"),
    "a number": SERVICE.token({}, alg=384),
    "absent": f"{encode_json({'kid': 'k'})}.{PAYLOAD}.{SIGNATURE}",
    "a key in the header": SERVICE.token({}, jwk=SERVICE.jwk()),
    "a key set to fetch": SERVICE.token({}, jku="https://nras.simulated.invalid/keys"),
    "certificates to fetch": SERVICE.token({}, x5u="https://nras.simulated.invalid/chain"),
    "certificates in the header": SERVICE.token({}, x5c=SERVICE.jwk()["x5c"]),
    "an extension that is critical": SERVICE.token({}, crit=["exp"]),
    "a payload that is not encoded": SERVICE.token({}, b64=False, crit=["b64"]),
    "another type": SERVICE.token({}, typ="at+jwt"),
    "no key named": SERVICE.token({}, kid=""),
    "a key that is no text": SERVICE.token({}, kid=["k"]),
    "a key with a long name": SERVICE.token({}, kid="k" * 257),
}


@pytest.mark.parametrize("what", ALGORITHMS)
def test_a_header_that_says_more_than_ours_is_refused(what: str) -> None:
    assert refusal(ALGORITHMS[what]).check == "nras.algorithm"


def test_the_usual_type_may_be_named() -> None:
    jws.verify(jws.parse(SERVICE.token({}, typ="JWT"), "GPU-0"), SERVICE.signing.key.public_key())


def stray_bits(segment: str) -> str:
    """`segment` with another last character that a lenient decoder takes for the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) ^ 1]


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


TWICE, DEEP = b'{"a":1,"a":2}', b"[" * 9000
FORMATS = {
    "empty": "",
    "two segments": f"{HEADER}.{PAYLOAD}",
    "four segments": f"{TOKEN}.",
    "a longer token than any": TOKEN + "A" * jws.MAX_TOKEN,
    "padding": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
    "the other alphabet": f"{HEADER}.{PAYLOAD}.{'+' + SIGNATURE[1:]}",
    "white space": f"{HEADER}.{PAYLOAD} .{SIGNATURE}",
    "a line break": f"{HEADER}.{PAYLOAD}.{SIGNATURE}\n",
    "a segment of one character": f"{HEADER}.A.{SIGNATURE}",
    "other characters": f"{HEADER}.é.{SIGNATURE}",
    "a header that is no JSON": f"e30x.{PAYLOAD}.{SIGNATURE}",
    "a header that is no object": f"{encode_json([1])}.{PAYLOAD}.{SIGNATURE}",
    "a member twice": f"{HEADER}.{encode(TWICE)}.{SIGNATURE}",
    "no signature": f"{HEADER}.{PAYLOAD}.",
    "a longer signature": f"{HEADER}.{PAYLOAD}.{SIGNATURE}AAAA",
    "claims that are no object": f"{HEADER}.{encode_json('x')}.{SIGNATURE}",
    "claims that nest deeply": f"{HEADER}.{encode(DEEP)}.{SIGNATURE}",
}


@pytest.mark.parametrize("what", FORMATS)
def test_a_token_in_another_spelling_is_refused(what: str) -> None:
    assert refusal(FORMATS[what]).check == "nras.format"


def test_stray_bits_in_the_last_character_are_another_spelling() -> None:
    token = SERVICE.token({"pad": "x"})
    header, payload, signature = token.split(".")
    assert len(payload) % 4  # so that its last character has bits to spare
    bent = stray_bits(payload)
    assert base64.urlsafe_b64decode(bent + "==") == base64.urlsafe_b64decode(payload + "==")
    assert refusal(f"{header}.{bent}.{signature}").check == "nras.format"
    assert jws.decode_base64url(payload) is not None
    assert jws.decode_base64url(bent) is None


@given(st.binary(max_size=300))
def test_base64url_reads_back(data: bytes) -> None:
    assert jws.decode_base64url(encode(data)) == data


@given(st.text(max_size=300))
def test_only_our_refusal_escapes_for_any_text(text: str) -> None:
    assert refused_check(lambda: jws.parse(text, "GPU-0")) in ("nras.format", "nras.algorithm")


@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=0x2FF))
def test_only_our_refusal_escapes_for_bent_tokens(at: int, character: str) -> None:
    bent = TOKEN[:at] + character + TOKEN[at + 1 :]

    def judge() -> None:
        jws.verify(jws.parse(bent, "GPU-0"), SERVICE.signing.key.public_key())

    assert (refused_check(judge) is None) == (bent == TOKEN)
