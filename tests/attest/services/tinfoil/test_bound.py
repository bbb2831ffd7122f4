"""Report data of each generation against values worked out elsewhere; one spelling for each value."""

import base64
import hashlib

import msgspec
import pytest

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.attest.services.tinfoil import bound
from ollm.values.hexes import Hex32
from tests.attest.service import refused_check

NONCE = bytes(range(32))
# The sections of tinfoil-go's test vectors, whose keys are those of RFC 8032 §7.1 (TEST 1) and RFC 7748 §6.1 (Alice), and what it makes of them.
ED25519 = "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
X25519 = "302a300506032b656e0321008520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
DEVICES = b'{"format":"https://tinfoil.sh/device-evidence/v1","items":[]}'


def section(key: str) -> bytes:
    item = f'{{"id":"workload-key","format":"https://tinfoil.sh/key/spki/v1","data":"{key}"}}'
    return f'{{"format":"https://tinfoil.sh/crypto-material/v1","items":[{item}]}}'.encode()


@pytest.mark.parametrize(
    ("key", "report_data"),
    [
        (ED25519, "471c373ed1a81ba6b4f9469e15b61277759d825f28a7415c3de5effb1c80a5e7"),
        (X25519, "4f4049335c395580da60f8d34aacb770dc4aa3acba2d71a370c92da0d09debe2"),
    ],
    ids=["ed25519", "x25519"],
)
def test_v3_agrees_with_tinfoils_own_library(key: str, report_data: str) -> None:
    assert bound.v3_report_data(NONCE, section(key), DEVICES).hex() == report_data + "00" * 32


def test_each_input_of_v3_changes_it() -> None:
    genuine = bound.v3_report_data(NONCE, b"keys", b"devices")
    others = [bound.v3_report_data(*inputs) for inputs in ((bytes(32), b"keys", b"devices"), (NONCE, b"key", b"devices"), (NONCE, b"keys", b""))]
    assert genuine not in others


def test_june_is_a_digest_of_keys_nonce_and_hashes_in_their_order() -> None:
    spki, hpke, nonce = Hex32("01" * 32), bytes([2]) * 32, Hex32("03" * 32)
    joined = bytes([1]) * 32 + hpke + bytes([3]) * 32
    assert bound.june_report_data(spki, hpke, nonce) == hashlib.sha256(joined).digest() + bytes(32)
    gpu, switch = bytes([4]) * 32, bytes([5]) * 32
    assert bound.june_report_data(spki, hpke, nonce, gpu, switch) == hashlib.sha256(joined + gpu + switch).digest() + bytes(32)


def test_v2_names_its_keys_in_the_report_itself() -> None:
    keys = bytes([6]) * 32 + bytes([7]) * 32
    assert bound.v2_keys(SnpEvidence(report=bytes(0x50) + keys + bytes(1024))) == ("06" * 32, bytes([7]) * 32)
    assert bound.v2_keys(TdxEvidence(quote=bytes(568) + keys)) == ("06" * 32, bytes([7]) * 32)
    assert bound.v2_keys(SnpEvidence(report=bytes(0x50) + keys[:32] + bytes(1024))) == ("06" * 32, None)
    assert refused_check(lambda: bound.v2_keys(TdxEvidence(quote=bytes(600)))) == bound.FORMAT


@pytest.mark.parametrize("text", ["", "AB==", "QUJD\n", "QUJ D", "QUI", "_-__", "é===", "QUJD="], ids=repr)
def test_base64_has_one_spelling(text: str) -> None:
    assert refused_check(lambda: bound.from_base64(text, "a value")) == bound.FORMAT


def test_base64() -> None:
    assert bound.from_base64(base64.b64encode(b"value").decode(), "a value") == b"value"


@pytest.mark.parametrize("text", ["", "AB" * 32, "ab" * 31, "zz" * 32])
def test_hex_has_one_spelling(text: str) -> None:
    assert refused_check(lambda: bound.from_hex(text, "a value")) == bound.FORMAT


class Form(msgspec.Struct, forbid_unknown_fields=True):
    member: int


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"member":1,"other":2}',
        b'{"Member":1}',
        b'{"member":1,"member":1}',
        b'{"member":"1"}',
        b'{"member":1}x',
        b'{"member":"\xff"}',
    ],
    ids=repr,
)
def test_json_has_exactly_the_members(data: bytes) -> None:
    assert refused_check(lambda: bound.decoded(data, Form)) == bound.FORMAT
    assert bound.decoded(b'{"member":1}', Form).member == 1
