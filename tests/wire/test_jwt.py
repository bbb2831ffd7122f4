"""Tokens of callers: every way to lie in one, each refused for its own reason."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import TokenRefused
from ollm.wire.jwk import ALGORITHMS, PublicKey, parse_key_set
from ollm.wire.jwt import LEEWAY, MAX_TOKEN, Wanted, is_token, judge, parse, values, verify
from tests.issuing import AUDIENCE, ISSUER, Authority

NOW = 1_800_000_000
WANTED = Wanted(AUDIENCE, 3600, {})
AUTHORITY = Authority()


def key_of(authority: Authority) -> PublicKey:
    found = parse_key_set(authority.jwks).find(authority.key_id, authority.algorithm)
    assert found is not None
    return found


def accepted(compact: str, wanted: Wanted = WANTED, authority: Authority = AUTHORITY, now: int = NOW) -> str:
    """All steps, in their order."""
    token = parse(compact)
    verify(token, key_of(authority))
    return judge(token, wanted, now)


def refusal(compact: str, wanted: Wanted = WANTED) -> str:
    with pytest.raises(TokenRefused) as refused:
        accepted(compact, wanted)
    return refused.value.check


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: object = None) -> str:
    return f"{part(header)}.{part(AUTHORITY.claims(NOW) if claims is None else claims)}.{part(b'signature')}"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_tokens_of_every_algorithm(algorithm: str) -> None:
    authority = Authority(algorithm)
    token = authority.token(NOW)
    assert is_token(token)
    assert accepted(token, authority=authority) == "someone"
    head, claims, _ = token.split(".")
    other = Authority(algorithm).token(NOW, sub="other").rpartition(".")[2]
    with pytest.raises(TokenRefused) as refused:
        accepted(f"{head}.{claims}.{other}", authority=authority)
    assert refused.value.check == "signature"


def test_a_token_never_shows_itself() -> None:
    token = parse(AUTHORITY.token(NOW, sub="secret name"))
    assert "secret" not in repr(token)
    assert token.__rich_repr__() == []


@pytest.mark.parametrize(
    ("header", "check"),
    [
        ({"alg": "none"}, "algorithm"),
        ({"alg": "None"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": None}, "algorithm"),
        ({"alg": ["ES256"]}, "algorithm"),
        ({"alg": "ES256", "crit": ["exp"]}, "crit"),
        ({"alg": "ES256", "crit": []}, "crit"),
        ({"alg": "ES256", "b64": False}, "crit"),
        ({"alg": "ES256", "typ": "dpop+jwt"}, "type"),
        ({"alg": "ES256", "typ": 5}, "type"),
        ({"alg": "ES256"}, "key id"),
        ({"alg": "ES256", "kid": ""}, "key id"),
        ({"alg": "ES256", "kid": 5}, "key id"),
        ({"alg": "ES256", "kid": "k" * 257}, "key id"),
    ],
    ids=str,
)
def test_headers_that_are_refused(header: dict[str, Any], check: str) -> None:
    assert refusal(unsigned(header)) == check


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", "AT+JWT"])
def test_types_of_tokens_for_access(kind: str) -> None:
    assert accepted(AUTHORITY.token(NOW, header={"typ": kind})) == "someone"


def test_a_public_key_is_no_secret_of_hs256() -> None:
    public = key_of(AUTHORITY).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': 'first'})}.{part(AUTHORITY.claims(NOW))}"
    compact = f"{signed}.{part(hmac.digest(public, signed.encode(), hashlib.sha256))}"
    assert refusal(compact) == "algorithm"


def test_keys_that_a_header_brings_are_not_looked_at() -> None:
    stranger = Authority(key_id="first")
    brought = {"jwk": json.loads(stranger.jwks)["keys"][0], "jku": "https://evil.test/keys", "x5u": "https://evil.test/chain", "x5c": ["AA=="]}
    assert refusal(stranger.token(NOW, header=brought)) == "signature"
    assert accepted(AUTHORITY.token(NOW, header=brought)) == "someone"


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"exp": None}, "exp"),
        ({"exp": NOW - LEEWAY}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": -1}, "exp"),
        ({"exp": 2**60}, "exp"),
        ({"iat": None}, "iat"),
        ({"iat": NOW + LEEWAY + 1}, "iat"),
        ({"iat": [NOW]}, "iat"),
        ({"nbf": NOW + LEEWAY + 1}, "nbf"),
        ({"nbf": "now"}, "nbf"),
        ({"exp": NOW + 3601}, "lifetime"),
        ({"iat": NOW + 10, "exp": NOW + 10}, "lifetime"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {"ollm": 1}}, "audience"),
        ({"cnf": {"jkt": "thumbprint"}}, "binding"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 5}, "subject"),
        ({"sub": "s" * 256}, "subject"),
        ({"iss": None}, "issuer"),
        ({"iss": 5}, "issuer"),
    ],
    ids=str,
)
def test_claims_that_are_refused(changed: dict[str, Any], check: str) -> None:
    token = parse_signed(changed)
    assert refusal(token) == check


def parse_signed(changed: dict[str, Any]) -> str:
    """Signed as it stands: PyJWT itself would refuse to sign some of these claims."""
    return jwt.PyJWS(algorithms=["ES256"]).encode(
        json.dumps(AUTHORITY.claims(NOW, **changed)).encode(), AUTHORITY.key, algorithm="ES256", headers={"kid": "first"}
    )


@pytest.mark.parametrize(
    "changed",
    [{"exp": NOW - LEEWAY + 1}, {"iat": NOW + LEEWAY}, {"nbf": NOW + LEEWAY}, {"nbf": NOW - 5}, {"exp": NOW + 0.5}, {"aud": ["other", AUDIENCE]}],
    ids=str,
)
def test_claims_within_their_bounds(changed: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"iat": NOW - 100} if "exp" in changed else {}
    assert accepted(AUTHORITY.token(NOW, **usual, **changed)) == "someone"


@pytest.mark.parametrize(
    ("said", "wanted", "good"),
    [
        ({"tier": "prod"}, {"tier": ("prod",)}, True),
        ({"tier": "prod"}, {"tier": ("test", "prod")}, True),
        ({"tier": "test"}, {"tier": ("prod",)}, False),
        ({}, {"tier": ("prod",)}, False),
        ({"groups": ["a", "b"]}, {"groups": ("b",)}, True),
        ({"groups": ["a"]}, {"groups": ("b",)}, False),
        ({"scope": "read chat"}, {"scope": ("chat",)}, True),
        ({"scope": "read chatter"}, {"scope": ("chat",)}, False),
        ({"other": "read chat"}, {"other": ("chat",)}, False),
        ({"n": 1}, {"n": (1,)}, True),
        ({"n": True}, {"n": (1,)}, False),
        ({"n": 1}, {"n": (True,)}, False),
        ({"a": "x", "b": "y"}, {"a": ("x",), "b": ("z",)}, False),
        ({"tier": {"prod": 1}}, {"tier": ("prod",)}, False),
    ],
    ids=str,
)
def test_required_claims(said: dict[str, Any], wanted: dict[str, tuple[str | int | bool, ...]], good: bool) -> None:
    token = AUTHORITY.token(NOW, **said)
    if good:
        assert accepted(token, Wanted(AUDIENCE, 3600, wanted)) == "someone"
    else:
        assert refusal(token, Wanted(AUDIENCE, 3600, wanted)) == "claim"


@pytest.mark.parametrize(
    "compact",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b", id="two parts"),
        pytest.param("a.b.c.d.e", id="an encrypted one"),
        pytest.param(unsigned({"alg": "ES256", "kid": "first"}) + "=", id="padding"),
        pytest.param(unsigned({"alg": "ES256", "kid": "first"}).rpartition(".")[0] + ".", id="no signature"),
        pytest.param(f"{part(b'[]')}.{part({})}.AA", id="a header that is no object"),
        pytest.param(f"{part(b'{')}.{part({})}.AA", id="a header that is no JSON"),
        pytest.param(part(b'{"alg":"none","alg":"ES256"}') + f".{part({})}.AA", id="a header member twice"),
        pytest.param(unsigned({"alg": "ES256", "kid": "first"}, b'{"iss":"a","sub":"x","sub":"y"}'), id="a claim twice"),
        pytest.param(unsigned({"alg": "ES256", "kid": "first"}, b'{"iss":"a","x":{"y":1,"y":2}}'), id="a nested claim twice"),
        pytest.param(unsigned({"alg": "ES256", "kid": "first"}, b'{"iss":"a","x":' + b"[" * 500 + b"]" * 500 + b"}"), id="deep claims"),
    ],
)
def test_forms_that_are_refused(compact: str) -> None:
    assert refusal(compact) == "form"


def test_a_huge_token_is_not_even_decoded() -> None:
    assert refusal("eyJ" + "A" * MAX_TOKEN + ".A.A") == "size"


@pytest.mark.parametrize(("text", "so"), [("eyJh.b.c", True), ("sk-ollm-abc", False), ("eyJh.b", False), ("eyJh.b.c.d.e", False), ("abc.b.c", False)])
def test_the_form_of_a_token_is_seen_without_decoding(text: str, so: bool) -> None:
    assert is_token(text) is so


def test_values_of_a_claim() -> None:
    token = parse(AUTHORITY.token(NOW, scope="a b", groups=["x", 1], name="one two"))
    assert [values(token, name) for name in ("scope", "groups", "name", "absent")] == [["a", "b"], ["x", 1], ["one two"], []]
    assert token.issuer == ISSUER


@given(st.text(max_size=300) | st.builds(lambda *parts: ".".join(map(part, parts)), *[st.binary(max_size=100)] * 3))
def test_nothing_but_our_error_escapes(text: str) -> None:
    with pytest.raises(TokenRefused):
        parse(text)
