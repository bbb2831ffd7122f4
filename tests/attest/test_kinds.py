"""Kinds told by first bytes and by what a token says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.kinds import Kind, of_bytes, of_token
from ollm.testing.mint.nitro import create_hypervisor
from ollm.testing.mint.nras import create_service, encode_json, hmac_token, unsigned_token
from tests.sim.hardware import NOW

QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
NITRO = create_hypervisor(NOW).document(NOW)


def quote(version: int, tee_type: int) -> bytes:
    return version.to_bytes(2, "little") + b"\x02\x00" + tee_type.to_bytes(4, "little") + bytes(4) + QE_VENDOR + bytes(700)


def report(version: int = 3, algorithm: int = 1) -> bytes:
    return version.to_bytes(4, "little") + bytes(48) + algorithm.to_bytes(4, "little") + bytes(1184 - 56)


def scale(variant: int, item: bytes) -> bytes:
    """As dstack writes it: version, variant, compact length (SCALE codec), item, and more behind it."""
    length = (len(item) << 2 | 1).to_bytes(2, "little") if len(item) < 1 << 14 else (len(item) << 2 | 2).to_bytes(4, "little")
    return bytes([0, variant]) + length + item + b"more"


BYTES = [
    (Kind.TDX_V4, quote(4, 0x81)),
    (Kind.TDX_V5, quote(5, 0x81)),
    (Kind.UNKNOWN, quote(6, 0x81)),
    (Kind.SGX, quote(3, 0)),
    (Kind.SGX, quote(4, 0)),
    (Kind.UNKNOWN, quote(4, 7)),
    (Kind.SNP, report()),
    (Kind.UNKNOWN, report(version=1)),
    (Kind.UNKNOWN, report(algorithm=2)),
    (Kind.UNKNOWN, report() + b"\x00"),
    (Kind.NITRO, NITRO),
    (Kind.NITRO, b"\xd2" + NITRO),
    (Kind.NVIDIA_REPORT_ALONE, bytes.fromhex("11e001ff") + bytes(33)),
    (Kind.HCL, b"HCLA" + bytes(40)),
    (Kind.TPM, b"\xffTCG\x80\x18"),
    (Kind.CERTIFICATE, b"-----BEGIN CERTIFICATE-----\n"),
    (Kind.CERTIFICATE, b"\x30\x82\x01\x00"),
    (Kind.REFERENCE, b'<?xml version="1.0"?><ns0:SoftwareIdentity '),
    (Kind.EVENT_LOG, bytes(32) + b"Spec ID Event03\x00"),
    (Kind.DSTACK_SCALE, scale(0, quote(4, 0x81))),
    (Kind.DSTACK_SCALE, scale(2, NITRO)),
    (Kind.DSTACK_SCALE, scale(3, report())),
    (Kind.DSTACK_SCALE, scale(0, quote(4, 0x81) + bytes(20_000))),
    (Kind.UNKNOWN, scale(8, report())),
    (Kind.UNKNOWN, b"\x01" + scale(3, report())[1:]),
    (Kind.UNKNOWN, scale(3, b"something else")),
    (Kind.UNKNOWN, b"\x00\x03\x04" + report()),  # a length of one byte holds no evidence
    (Kind.UNKNOWN, b""),
    (Kind.UNKNOWN, bytes(2000)),
]


@pytest.mark.parametrize(("kind", "data"), BYTES)
def test_kinds_of_bytes(kind: Kind, data: bytes) -> None:
    assert of_bytes(data) is kind


def token(**claims: object) -> str:
    return f"{encode_json({'alg': 'RS256'})}.{encode_json(claims)}.AAAA"


TOKENS = [
    (Kind.GOOGLE, token(iss="https://confidentialcomputing.googleapis.com")),
    (Kind.AZURE, token(iss="https://sharedeus.eus.attest.azure.net")),
    (Kind.AZURE, token(iss="https://attest.contoso.example", **{"x-ms-attestation-type": "sevsnpvm"})),
    (Kind.INTEL, token(iss="https://portal.trustauthority.intel.com")),
    (Kind.NVIDIA_ALONE, create_service(NOW).token({"iss": "https://nras.simulated.invalid"})),
    (Kind.EAR, token(eat_profile="tag:github.com,2023:veraison/ear")),
    (Kind.OTHER_ISSUER, token(iss="https://example.invalid")),
    (Kind.OTHER_ISSUER, hmac_token({}, b"secret")),
    (Kind.UNSIGNED, unsigned_token({"iss": "https://confidentialcomputing.googleapis.com"})),
    (None, "no token"),
    (None, "a.b"),
    (None, "a.b.c"),
    (None, f"{encode_json([])}.{encode_json({})}."),
    (None, f"{encode_json({})}.{encode_json(1)}."),
    (None, f"AAAA.{encode_json({})}."),
    (None, token(pad="x" * 70_000)),
]


@pytest.mark.parametrize(("kind", "text"), TOKENS)
def test_kinds_of_tokens(kind: Kind | None, text: str) -> None:
    assert of_token(text) is kind


@given(st.binary(max_size=100) | st.binary(max_size=20).map(lambda data: b"\x00\x00" + data))
def test_any_bytes_have_a_kind(data: bytes) -> None:
    assert of_bytes(data) in Kind


@given(st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9_-]{1,20}\.[A-Za-z0-9_-]{1,20}\.[A-Za-z0-9_-]{0,20}", fullmatch=True))
def test_any_text_is_a_token_or_none(text: str) -> None:
    assert of_token(text) is None or isinstance(of_token(text), Kind)
