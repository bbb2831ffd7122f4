"""HPKE against the official vectors and against the one-shot HPKE of `cryptography`."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke as library
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import SealError
from ollm.seal.hpke import (
    AES_128_GCM,
    AES_256_GCM,
    CHACHA20_POLY1305,
    Suite,
    export_only,
    hkdf_expand,
    hkdf_extract,
    setup_recipient,
    setup_sender,
)

KEY = X25519PrivateKey.from_private_bytes(bytes([3] * 32))
PUBLIC = KEY.public_key().public_bytes_raw()
LIBRARY = {
    AES_128_GCM: library.AEAD.AES_128_GCM,
    AES_256_GCM: library.AEAD.AES_256_GCM,
    CHACHA20_POLY1305: library.AEAD.CHACHA20_POLY1305,
}
SUITES = pytest.mark.parametrize("suite", list(LIBRARY), ids=["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"])

_P = 2**255 - 19
_ORDER_8 = (  # the two u-coordinates of order 8 on curve25519 (RFC 7748 §4.1 gives the curve)
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = [number.to_bytes(32, "little") for number in (0, 1, *_ORDER_8, _P - 1, _P, _P + 1)]


def one_shot(suite: Suite) -> library.Suite:
    return library.Suite(library.KEM.X25519, library.KDF.HKDF_SHA256, LIBRARY[suite])


# --- interoperation -----------------------------------------------------------------------------------------------------


@SUITES
def test_what_the_library_seals_opens_here(suite: Suite) -> None:
    message = one_shot(suite).encrypt(b"prompt", KEY.public_key(), b"some info")
    context = setup_recipient(KEY, message[:32], b"some info", suite=suite)
    assert context.open(message[32:]) == b"prompt"


@SUITES
def test_what_is_sealed_here_opens_in_the_library(suite: Suite) -> None:
    context = setup_sender(PUBLIC, b"some info", suite=suite)
    message = context.enc + context.seal(b"prompt")
    assert one_shot(suite).decrypt(message, KEY, b"some info") == b"prompt"


def test_the_library_refuses_what_was_sealed_for_another_info() -> None:
    context = setup_sender(PUBLIC, b"some info")
    with pytest.raises(InvalidTag):
        one_shot(AES_256_GCM).decrypt(context.enc + context.seal(b"prompt"), KEY, b"other info")


@SUITES
def test_official_vectors(suite: Suite, evidence_dir: Path) -> None:
    vectors: list[dict[str, Any]] = json.loads((evidence_dir / "hpke" / "rfc9180-test-vectors.json").read_text())
    wanted = (0, 0x20, 0x01, suite.aead_id)  # base mode, X25519, HKDF-SHA256
    (vector,) = [v for v in vectors if (v["mode"], v["kem_id"], v["kdf_id"], v["aead_id"]) == wanted]
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["skEm"]))
    recipient_key = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["skRm"]))
    info = bytes.fromhex(vector["info"])
    sender = setup_sender(bytes.fromhex(vector["pkRm"]), info, ephemeral=ephemeral, suite=suite)
    recipient = setup_recipient(recipient_key, bytes.fromhex(vector["enc"]), info, suite=suite)

    assert sender.enc.hex() == vector["enc"]
    for step in vector["encryptions"]:
        plaintext, aad, ciphertext = (bytes.fromhex(step[name]) for name in ("pt", "aad", "ct"))
        assert sender.seal(plaintext, aad) == ciphertext
        assert recipient.open(ciphertext, aad) == plaintext
    for step in vector["exports"]:
        context = bytes.fromhex(step["exporter_context"])
        assert sender.export(context, step["L"]).hex() == recipient.export(context, step["L"]).hex() == step["exported_value"]
    assert len(vector["encryptions"]) > 250


def test_official_vectors_of_contexts_that_only_export(evidence_dir: Path) -> None:
    vectors: list[dict[str, Any]] = json.loads((evidence_dir / "hpke" / "rfc9180-test-vectors.json").read_text())
    export_only_ones = [v for v in vectors if (v["mode"], v["kdf_id"], v["aead_id"]) == (0, 0x01, 0xFFFF)]
    assert {v["kem_id"] for v in export_only_ones} == {0x10, 0x12, 0x20, 0x21}
    for vector in export_only_ones:
        shared_secret, info = bytes.fromhex(vector["shared_secret"]), bytes.fromhex(vector["info"])
        for step in vector["exports"]:
            exported = export_only(vector["kem_id"], shared_secret, info, bytes.fromhex(step["exporter_context"]), step["L"])
            assert exported.hex() == step["exported_value"]


# --- keys that are refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_points_of_low_order_are_refused_on_both_sides(point: bytes) -> None:
    with pytest.raises(SealError) as refusal:
        setup_sender(point, b"")
    assert refusal.value.code == "HPKE_SETUP_FAILED"
    with pytest.raises(SealError) as refusal:
        setup_recipient(KEY, point, b"")
    assert refusal.value.code == "HPKE_SETUP_FAILED"


def test_wycheproof_exchanges_that_give_zero_are_refused(evidence_dir: Path) -> None:
    groups = json.loads((evidence_dir / "hpke" / "wycheproof" / "x25519_test.json").read_text())["testGroups"]
    cases = [case for group in groups for case in group["tests"] if "ZeroSharedSecret" in case["flags"]]
    assert cases
    for case in cases:
        with pytest.raises(SealError):
            setup_recipient(X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"])), bytes.fromhex(case["public"]), b"")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(SealError) as refusal:
        setup_sender(bytes(size), b"")
    assert refusal.value.code == "INVALID_KEY_CONFIG"
    with pytest.raises(SealError) as refusal:
        setup_recipient(KEY, bytes(size), b"")
    assert refusal.value.code == "INVALID_ENCAPSULATED_KEY"


# --- contexts -----------------------------------------------------------------------------------------------------------


def test_messages_open_only_in_their_order() -> None:
    sender = setup_sender(PUBLIC, b"i")
    first, second = sender.seal(b"first"), sender.seal(b"second")
    recipient = setup_recipient(KEY, sender.enc, b"i")
    with pytest.raises(SealError):
        recipient.open(second)
    assert recipient.open(first) == b"first"  # the failure did not move the counter
    with pytest.raises(SealError):
        recipient.open(first)
    assert recipient.open(second) == b"second"


def test_each_encapsulation_is_another() -> None:
    assert setup_sender(PUBLIC, b"i").enc != setup_sender(PUBLIC, b"i").enc


@pytest.mark.parametrize(
    ("ciphertext", "aad"),
    [(b"", b""), (bytes(15), b""), (bytes(16), b""), (bytes(40), b"")],
)
def test_nonsense_does_not_open(ciphertext: bytes, aad: bytes) -> None:
    with pytest.raises(SealError) as refusal:
        setup_recipient(KEY, setup_sender(PUBLIC, b"i").enc, b"i").open(ciphertext, aad)
    assert refusal.value.code == "AEAD_DECRYPT_FAILED"


def test_other_associated_data_does_not_open() -> None:
    sender = setup_sender(PUBLIC, b"i")
    with pytest.raises(SealError):
        setup_recipient(KEY, sender.enc, b"i").open(sender.seal(b"text", b"one"), b"two")


def test_a_context_without_a_nonce_left_refuses() -> None:
    sender = setup_sender(PUBLIC, b"i")
    recipient = setup_recipient(KEY, sender.enc, b"i")
    sender._sequence = recipient._sequence = 2**96 - 2
    assert recipient.open(sender.seal(b"the last one")) == b"the last one"
    with pytest.raises(SealError) as refusal:
        sender.seal(b"one too many")
    assert refusal.value.code == "SEQUENCE_OVERFLOW"
    with pytest.raises(SealError) as refusal:
        recipient.open(bytes(40))
    assert refusal.value.code == "SEQUENCE_OVERFLOW"


@pytest.mark.parametrize("length", [1, 32, 33, 8160])
def test_both_sides_export_the_same(length: int) -> None:
    sender = setup_sender(PUBLIC, b"i")
    exported = sender.export(b"label", length)
    assert len(exported) == length
    assert setup_recipient(KEY, sender.enc, b"i").export(b"label", length) == exported
    assert sender.export(b"other label", length) != exported


@pytest.mark.parametrize("length", [-1, 0, 8161])
def test_exports_out_of_range_are_refused(length: int) -> None:
    with pytest.raises(SealError) as refusal:
        setup_sender(PUBLIC, b"i").export(b"label", length)
    assert refusal.value.code == "INVALID_INPUT"


def test_a_context_does_not_print_its_keys() -> None:
    sender = setup_sender(PUBLIC, b"i")
    assert sender._exporter_secret.hex() not in repr(sender)
    assert not hasattr(sender, "__dict__")


@given(salt=st.binary(max_size=80), secret=st.binary(max_size=80), info=st.binary(max_size=80), length=st.integers(1, 200))
def test_hkdf_equals_the_librarys(salt: bytes, secret: bytes, info: bytes, length: int) -> None:
    assert hkdf_extract(salt, secret) == HKDF.extract(SHA256(), salt, secret)
    assert hkdf_expand(secret, info, length) == HKDFExpand(SHA256(), length, info).derive(secret)


def test_the_public_key_of_the_sender_is_the_encapsulation() -> None:
    ephemeral = X25519PrivateKey.from_private_bytes(bytes([4] * 32))
    enc = setup_sender(PUBLIC, b"i", ephemeral=ephemeral).enc
    assert X25519PublicKey.from_public_bytes(enc) == ephemeral.public_key()
