"""EHBP: both directions, every split, every way to break a body."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import SealError
from ollm.seal import ehbp
from ollm.seal.ehbp import RequestOpener, RequestSealer, ResponseOpener, ResponseSealer, key_config, parse_key_config
from ollm.seal.hpke import hkdf_expand, hkdf_extract

KEY = X25519PrivateKey.from_private_bytes(bytes([3] * 32))
PUBLIC = KEY.public_key().public_bytes_raw()
NONCE = bytes(range(32))
SECRET, ENC = bytes(32), bytes([9] * 32)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(SealError) as refusal:
        call()
    return refusal.value.code


def response_pair() -> tuple[ResponseSealer, ResponseOpener]:
    return ResponseSealer(SECRET, ENC, NONCE), ResponseOpener(SECRET, ENC, NONCE)


# --- one exchange -------------------------------------------------------------------------------------------------------


def test_an_exchange() -> None:
    request = RequestSealer(PUBLIC)
    body = request.seal(b'{"model":"m"}')
    assert b"model" not in body

    enclave = RequestOpener(KEY, request.encapsulated_key)
    assert enclave.feed(body) == b'{"model":"m"}'
    enclave.finish()
    answer = enclave.response_sealer(NONCE)
    assert answer.nonce_hex == NONCE.hex()
    wire = answer.seal(b"data: one\n\n") + answer.seal(b"") + answer.seal(b"data: [DONE]\n\n")

    client = request.response_opener(answer.nonce_hex)
    assert client.feed(wire) == b"data: one\n\ndata: [DONE]\n\n"
    client.finish()


def test_an_answer_opens_only_for_its_own_request() -> None:
    one, other = RequestSealer(PUBLIC), RequestSealer(PUBLIC)
    enclave = RequestOpener(KEY, one.encapsulated_key)
    enclave.feed(one.seal(b"body"))
    answer = enclave.response_sealer(NONCE)
    assert code_of(lambda: other.response_opener(answer.nonce_hex).feed(answer.seal(b"text"))) == "AEAD_DECRYPT_FAILED"
    assert code_of(lambda: one.response_opener("00" * 32).feed(answer.seal(b"text"))) == "AEAD_DECRYPT_FAILED"


def test_another_machines_key_opens_nothing() -> None:
    request = RequestSealer(PUBLIC)
    stranger = RequestOpener(X25519PrivateKey.generate(), request.encapsulated_key)
    assert code_of(lambda: stranger.feed(request.seal(b"body"))) == "AEAD_DECRYPT_FAILED"


# --- golden values ------------------------------------------------------------------------------------------------------


def test_golden_answer(evidence_dir: Path) -> None:
    golden = json.loads((evidence_dir / "ehbp" / "response-decryption.json").read_text())
    secret, enc, nonce = (bytes.fromhex(golden[name]) for name in ("exportedSecret", "requestEnc", "responseNonce"))
    assert ResponseOpener(secret, enc, nonce).feed(bytes.fromhex(golden["encryptedResponse"])) == bytes.fromhex(golden["plaintext"])
    assert ResponseSealer(secret, enc, nonce).seal(bytes.fromhex(golden["plaintext"])).hex() == golden["encryptedResponse"]


def test_golden_key_derivation(evidence_dir: Path) -> None:
    golden = json.loads((evidence_dir / "ehbp" / "derive.json").read_text())
    secret, enc, nonce = (bytes.fromhex(golden[name]) for name in ("exportedSecret", "requestEnc", "responseNonce"))
    key = hkdf_extract(enc + nonce, secret)
    assert hkdf_expand(key, b"key", 32).hex() == golden["derivedKey"]
    assert ehbp._ResponseKey(secret, enc, nonce)._base.to_bytes(12, "big").hex() == golden["derivedNonceBase"]


# --- splits -------------------------------------------------------------------------------------------------------------


@given(pieces=st.lists(st.binary(max_size=40), max_size=8), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_every_split_gives_the_same_plaintext(pieces: list[bytes], cuts: list[int]) -> None:
    sealer, opener = response_pair()
    wire = b"".join(sealer.seal(piece) or bytes(4) for piece in pieces)  # an empty write is a frame of length zero
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    opened = b"".join(opener.feed(wire[a:b]) for a, b in itertools.pairwise(edges))
    opener.finish()
    assert opened == b"".join(pieces)


def test_plaintext_comes_out_as_soon_as_its_frame_is_whole() -> None:
    sealer, opener = response_pair()
    first, second = sealer.seal(b"first"), sealer.seal(b"second")
    assert opener.feed(first + second[:-1]) == b"first"
    assert opener.feed(second[-1:]) == b"second"


def test_byte_by_byte() -> None:
    sealer, opener = response_pair()
    wire = sealer.seal(b"a") + sealer.seal(b"bc")
    assert b"".join(opener.feed(wire[at : at + 1]) for at in range(len(wire))) == b"abc"
    opener.finish()


def test_large_bodies_are_cut_into_frames() -> None:
    body = bytes(ehbp.FRAME_PLAINTEXT) + b"tail"
    request = RequestSealer(PUBLIC)
    wire = request.seal(body)
    assert int.from_bytes(wire[:4], "big") == ehbp.FRAME_PLAINTEXT + 16
    assert len(wire) == len(body) + 2 * (4 + 16)
    assert RequestOpener(KEY, request.encapsulated_key).feed(wire) == body


def test_a_frame_that_comes_in_small_pieces_costs_linear_work() -> None:
    sealer, opener = response_pair()
    wire = sealer.seal(bytes(1 << 20))
    opened = [opener.feed(wire[at : at + 1024]) for at in range(0, len(wire), 1024)]
    assert sum(map(len, opened)) == 1 << 20
    assert [piece for piece in opened if piece] == [opened[-1]]


# --- hostile framing ----------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_empty_frames_are_skipped() -> None:
    sealer, opener = response_pair()
    assert opener.feed(bytes(4) * 100_000 + sealer.seal(b"text")) == b"text"
    opener.finish()


@pytest.mark.parametrize("length", [ehbp.MAX_FRAME + 1, 0xFFFFFFFF])
def test_a_length_over_the_cap_is_refused_at_its_prefix(length: int) -> None:
    _, opener = response_pair()
    assert code_of(lambda: opener.feed(length.to_bytes(4, "big"))) == "CHUNK_TOO_LARGE"


def test_the_largest_legal_length_reserves_nothing() -> None:
    _, opener = response_pair()
    assert opener.feed(ehbp.MAX_FRAME.to_bytes(4, "big") + b"x") == b""
    assert len(opener._held) == 5


@pytest.mark.parametrize("length", [1, 15])
def test_a_frame_shorter_than_a_tag_is_refused(length: int) -> None:
    _, opener = response_pair()
    assert code_of(lambda: opener.feed(length.to_bytes(4, "big") + bytes(length))) == "AEAD_DECRYPT_FAILED"


@given(kept=st.integers(1, 24))
def test_a_body_cut_within_a_frame_is_truncated(kept: int) -> None:
    sealer, opener = response_pair()
    opener.feed(sealer.seal(b"whole") + sealer.seal(b"later")[:kept])
    assert code_of(opener.finish) == "FRAMING_TRUNCATED"
    assert code_of(lambda: opener.feed(b"")) == "FRAMING_TRUNCATED"


def test_a_cut_between_frames_is_not_visible_here() -> None:
    """EHBP has no authenticated end (module docstring): who reads the plaintext must know when it is whole."""
    sealer, opener = response_pair()
    first, _second = sealer.seal(b"first"), sealer.seal(b"second")
    assert opener.feed(first) == b"first"
    opener.finish()


@given(at=st.integers(4, 24), bit=st.integers(0, 7))
def test_a_flipped_bit_is_one_error_and_the_end(at: int, bit: int) -> None:
    sealer, opener = response_pair()
    wire = bytearray(sealer.seal(b"text1"))
    wire[at] ^= 1 << bit
    assert code_of(lambda: opener.feed(bytes(wire))) == "AEAD_DECRYPT_FAILED"
    assert code_of(lambda: opener.feed(sealer.seal(b"more"))) == "AEAD_DECRYPT_FAILED"
    assert code_of(opener.finish) == "AEAD_DECRYPT_FAILED"


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (1,)], ids=["swapped", "repeated", "dropped"])
def test_frames_out_of_order_do_not_open(order: tuple[int, ...]) -> None:
    sealer, opener = response_pair()
    frames = [sealer.seal(b"zero"), sealer.seal(b"one")]
    assert code_of(lambda: opener.feed(b"".join(frames[index] for index in order))) == "AEAD_DECRYPT_FAILED"


@given(st.binary(max_size=200))
def test_only_our_own_error_escapes(data: bytes) -> None:
    opener = RequestOpener(KEY, "09" + "00" * 31)
    for step in (lambda: opener.feed(data), opener.finish):
        try:
            step()
        except SealError:
            pass


def test_errors_are_chained_to_nothing() -> None:
    _, opener = response_pair()
    with pytest.raises(SealError) as refusal:
        opener.feed(bytes([0, 0, 0, 20]) + bytes(20))
    assert refusal.value.__cause__ is None and refusal.value.__suppress_context__


def test_an_answer_without_a_nonce_left_refuses() -> None:
    sealer, opener = response_pair()
    sealer._key._sequence = 2**64 - 1
    assert code_of(lambda: sealer.seal(b"text")) == "SEQUENCE_OVERFLOW"
    key = ehbp._ResponseKey(SECRET, ENC, NONCE)
    key._sequence = 2**64 - 1
    assert code_of(lambda: key.open(memoryview(bytes(32)))) == "SEQUENCE_OVERFLOW"
    assert opener.feed(b"") == b""


# --- bodies that authenticate nothing -----------------------------------------------------------------------------------


def test_an_empty_body_is_not_sealed() -> None:
    assert code_of(lambda: RequestSealer(PUBLIC).seal(b"")) == "INVALID_INPUT"


@pytest.mark.parametrize("body", [b"", bytes(4), bytes(8)], ids=["no frame", "an empty frame", "two empty frames"])
def test_a_request_without_an_authenticated_frame_gets_no_sealed_answer(body: bytes) -> None:
    """Whoever put in the encapsulated key could otherwise read the answer (SPEC §7.4)."""
    opener = RequestOpener(KEY, RequestSealer(PUBLIC).encapsulated_key)
    assert opener.feed(body) == b""
    assert code_of(lambda: opener.response_sealer(NONCE)) == "INVALID_INPUT"
    assert code_of(opener.finish) == "FRAMING_TRUNCATED"


# --- headers ------------------------------------------------------------------------------------------------------------

BAD_HEX = ["", "0" * 63, "0" * 65, "A" * 64, "0x" + "0" * 62, "g" * 64, "0" * 63 + "\n", "0" * 64 + "\n", " " + "0" * 63, "٠" * 64]


@pytest.mark.parametrize("text", BAD_HEX)
def test_headers_are_exactly_64_lowercase_hex_characters(text: str) -> None:
    assert code_of(lambda: RequestOpener(KEY, text)) == "INVALID_ENCAPSULATED_KEY"
    assert code_of(lambda: RequestSealer(PUBLIC).response_opener(text)) == "INVALID_RESPONSE_NONCE"


def test_an_encapsulated_key_of_low_order_is_refused() -> None:
    assert code_of(lambda: RequestOpener(KEY, "00" * 32)) == "HPKE_SETUP_FAILED"


@pytest.mark.parametrize("size", [0, 12, 31, 33])
def test_a_response_nonce_of_another_size_is_refused(size: int) -> None:
    request = RequestSealer(PUBLIC)
    opener = RequestOpener(KEY, request.encapsulated_key)
    opener.feed(request.seal(b"body"))
    assert code_of(lambda: opener.response_sealer(bytes(size))) == "INVALID_INPUT"


# --- key configuration --------------------------------------------------------------------------------------------------


def test_key_config_bytes() -> None:
    assert key_config(bytes([7] * 32)).hex() == "00" + "0020" + "07" * 32 + "0004" + "0001" + "0002"
    assert parse_key_config(key_config(PUBLIC)) == PUBLIC


def test_the_first_configuration_wins() -> None:
    assert parse_key_config(key_config(PUBLIC) + key_config(bytes(32))) == PUBLIC


def test_any_key_id_is_accepted() -> None:
    assert parse_key_config(b"\x07" + key_config(PUBLIC)[1:]) == PUBLIC


HEAD = "000020" + "07" * 32


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("", "INVALID_KEY_CONFIG"),
        ("0000", "INVALID_KEY_CONFIG"),
        (HEAD, "INVALID_KEY_CONFIG"),
        (HEAD + "0004" + "000100", "INVALID_KEY_CONFIG"),
        (HEAD + "0000", "INVALID_KEY_CONFIG"),
        (HEAD + "0005" + "0001000200", "INVALID_KEY_CONFIG"),
        (HEAD + "ffff" + "00010002", "INVALID_KEY_CONFIG"),
        ("000010" + "07" * 32 + "000400010002", "UNSUPPORTED_SUITE"),
        (HEAD + "0004" + "00010001", "UNSUPPORTED_SUITE"),
        (HEAD + "0004" + "00020002", "UNSUPPORTED_SUITE"),
        (HEAD + "0008" + "0001000200010001", "UNSUPPORTED_SUITE"),
        ("0029" + HEAD + "000400010002", "UNSUPPORTED_SUITE"),
    ],
    ids=[
        "empty",
        "short",
        "no suites",
        "cut suite",
        "zero suites",
        "odd suites",
        "long suites",
        "P-256",
        "AES-128",
        "HKDF-384",
        "two suites",
        "prefixed list",
    ],
)
def test_configurations_that_are_refused(config: str, code: str) -> None:
    assert code_of(lambda: parse_key_config(bytes.fromhex(config))) == code


def test_a_key_of_another_size_has_no_configuration() -> None:
    assert code_of(lambda: key_config(bytes(31))) == "INVALID_INPUT"


@given(st.binary(max_size=60))
def test_no_configuration_raises_another_error(data: bytes) -> None:
    try:
        assert len(parse_key_config(data)) == 32
    except SealError:
        pass


def test_the_stale_key_problem_is_the_specs() -> None:
    assert json.loads(ehbp.KEY_PROBLEM)["type"] == "urn:ietf:params:ehbp:error:key-config"
