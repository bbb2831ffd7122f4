"""Chutes' body encryption, with the provider's own client as a peer for both directions, over an ML-KEM of others."""

import base64
import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from chutes_e2ee import crypto as theirs
from hypothesis import given
from hypothesis import strategies as st
from pqcrypto.kem import ml_kem_768  # type: ignore[import-untyped]  # ships no type information

from ollm.seal import chutes
from ollm.seal.chutes import ChutesAnswer, ChutesCipher
from ollm.seal.openai_fields import CHAT
from ollm.testing.sealing.cheats import Cheat, event
from ollm.testing.sealing.chutes import ChutesRecipient
from tests.seal.peers import CANARY, answer, chat, chunk, chunks, code_of, documents, encoded, exchanged
from tests.seal.peers import chutes as pair_of


def cipher(public_key: bytes, **changed: Any) -> ChutesCipher:
    given: dict[str, Any] = {"chute_id": "c", "instance_id": "i", "take_nonce": lambda: "n", "random": os.urandom, **changed}
    return ChutesCipher(public_key, **given)


def streamed() -> tuple[ChutesAnswer, list[bytes]]:
    """An opener whose answer has begun, and the pieces of the answer."""
    exchange, opener = exchanged(pair_of(), chat(stream=True))
    assert isinstance(opener, ChutesAnswer)
    return opener, exchange.stream(chunks())


# --- the provider's own client ------------------------------------------------------------------------------------------


def test_our_request_opens_with_their_means_and_our_cipher_opens_their_answers() -> None:
    """The instance's side, out of chutes_e2ee.crypto: it has every primitive but the labels of the other direction."""
    public, secret = ml_kem_768.generate_keypair()
    sealed, opener = cipher(public).seal(CHAT, encoded(chat()), streamed=False)
    encapsulated, nonce, tail = sealed.body[:1088], sealed.body[1088:1100], sealed.body[1100:]
    key = theirs.derive_key(ml_kem_768.decrypt(secret, encapsulated), encapsulated, theirs.INFO_REQ)
    request = json.loads(gzip.decompress(theirs.chacha_decrypt(key, nonce, tail[:-16], tail[-16:])))
    response_key = base64.b64decode(request.pop("e2e_response_pk"))
    assert request == chat()

    def sealed_by_them(label: bytes) -> tuple[bytes, bytes]:
        encapsulated, shared = ml_kem_768.encrypt(response_key)
        return encapsulated, theirs.derive_key(shared, encapsulated, label)

    encapsulated, key = sealed_by_them(theirs.INFO_RESP)
    nonce = os.urandom(12)
    ciphertext, tag = theirs.chacha_encrypt(key, nonce, gzip.compress(json.dumps(answer()).encode()))
    opener.begin(200, {})
    assert json.loads(opener.whole(encapsulated + nonce + ciphertext + tag)) == answer()

    sealed, opener = cipher(public).seal(CHAT, encoded(chat(stream=True)), streamed=True)
    key = theirs.derive_key(ml_kem_768.decrypt(secret, sealed.body[:1088]), sealed.body[:1088], theirs.INFO_REQ)
    opened = gzip.decompress(theirs.chacha_decrypt(key, sealed.body[1088:1100], sealed.body[1100:-16], sealed.body[-16:]))
    response_key = base64.b64decode(json.loads(opened)["e2e_response_pk"])
    encapsulated, key = sealed_by_them(theirs.INFO_STREAM)
    wire = event({"e2e_init": base64.b64encode(encapsulated).decode()})
    for line in (b'data: {"n":1}\n', b"\n", b"data: [DONE]\n", b"\n"):
        nonce = os.urandom(12)
        wire += event({"e2e": base64.b64encode(nonce + b"".join(theirs.chacha_encrypt(key, nonce, line))).decode()})
    assert opener.feed(wire) == b'data: {"n":1}\n\ndata: [DONE]\n\n'
    opener.finish()


def test_their_client_against_our_instance() -> None:
    instance = ChutesRecipient()
    request = theirs.build_e2ee_request(base64.b64encode(instance.public_key).decode(), chat(stream=True))
    headers = {"X-Chute-Id": "chute", "X-Instance-Id": "instance", "X-E2E-Nonce": instance.new_nonce(), "X-E2E-Stream": "true", "X-E2E-Path": CHAT}
    exchange = instance.open("/e2e/invoke", headers, request.blob)
    assert exchange.request == chat(stream=True)
    assert theirs.decrypt_response(exchange.whole(answer()), request.response_sk) == answer()
    first, *rest = exchange.stream(chunks())
    key = theirs.decrypt_stream_init(request.response_sk, json.loads(first[6:])["e2e_init"])
    lines = [theirs.decrypt_stream_chunk(json.loads(piece[6:])["e2e"], key) for piece in rest[:-1]]
    assert list(documents("\n".join(lines).encode())) == chunks()


def test_recorded_keys_can_be_sealed_to(evidence_dir: Path) -> None:
    recorded = list((evidence_dir / "captures").glob("chutes_*/responses/*_e2e_instances_*.body"))
    assert recorded
    for path in recorded:
        for instance in json.loads(path.read_bytes())["instances"]:
            sealer = cipher(
                base64.b64decode(instance["e2e_pubkey"]), instance_id=instance["instance_id"], take_nonce=lambda i=instance: i["nonces"][0]
            )
            sealed, _ = sealer.seal(CHAT, encoded(chat()), streamed=True)
            assert dict(sealed.headers)["X-E2E-Nonce"] == instance["nonces"][0]


# --- requests -----------------------------------------------------------------------------------------------------------


def test_where_and_how_a_request_goes() -> None:
    instance = ChutesRecipient(chute_id="c", instance_id="i")
    sealed, _ = cipher(instance.public_key, take_nonce=lambda: "nonce-1").seal("/v1/embeddings", b'{"input":"x"}', streamed=False)
    assert sealed.path == "/e2e/invoke"
    assert sealed.content_type == "application/octet-stream"
    assert dict(sealed.headers) == {
        "X-Chute-Id": "c",
        "X-Instance-Id": "i",
        "X-E2E-Nonce": "nonce-1",
        "X-E2E-Stream": "false",
        "X-E2E-Path": "/v1/embeddings",
    }


def test_each_call_takes_a_nonce() -> None:
    nonces = iter(["a", "b"])
    sealer = cipher(ChutesRecipient().public_key, take_nonce=lambda: next(nonces))
    used = [dict(sealer.seal(CHAT, encoded(chat()), streamed=False)[0].headers)["X-E2E-Nonce"] for _ in range(2)]
    assert used == ["a", "b"]


def test_the_size_of_a_request_tells_its_length_only() -> None:
    """The gzip container is stored, not compressed: what repeats in a prompt does not make it shorter."""
    sealer = cipher(ChutesRecipient().public_key)
    sizes = {len(sealer.seal(CHAT, encoded(chat(prompt=prompt)), streamed=False)[0].body) for prompt in ("a" * 200, "0123456789" * 20)}
    assert len(sizes) == 1


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_535, 65_536, 131_070, 200_000])
def test_a_request_of_any_length(size: int) -> None:
    exchange, _ = exchanged(pair_of(), chat(prompt="x" * size))
    assert len(exchange.request["messages"][1]["content"]) == size


@pytest.mark.parametrize("length", [1, 65_534, 65_535, 65_536, 131_070, 131_071])
def test_the_container_is_gzip_at_every_edge(length: int) -> None:
    data = os.urandom(length)
    assert gzip.decompress(chutes._packed(data)) == data


@pytest.mark.parametrize("nonce", ["", "a b", "a\r\nX-Other: b", "é", "x" * 257])
def test_a_nonce_that_cannot_stand_in_a_header_is_refused(nonce: str) -> None:
    sealer = cipher(ChutesRecipient().public_key, take_nonce=lambda: nonce)
    assert code_of(lambda: sealer.seal(CHAT, encoded(chat()), streamed=False)) == "INVALID_INPUT"


def test_nor_can_such_ids_and_paths() -> None:
    public_key = ChutesRecipient().public_key
    assert code_of(lambda: cipher(public_key, chute_id="a\nb")) == "INVALID_INPUT"
    assert code_of(lambda: cipher(public_key, instance_id="")) == "INVALID_INPUT"
    assert code_of(lambda: cipher(public_key).seal("/v1/ x", encoded(chat()), streamed=False)) == "INVALID_INPUT"


@pytest.mark.parametrize("body", [b"", b"[]", b"text", b'{"e2e_response_pk":"x","model":"m"}'])
def test_what_cannot_be_sealed_is_refused_never_sent(body: bytes) -> None:
    assert code_of(lambda: cipher(ChutesRecipient().public_key).seal(CHAT, body, streamed=False)) == "INVALID_INPUT"


@pytest.mark.parametrize("key", [b"", bytes(1183), b"\xff" * 1184, bytes(1568)])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    assert code_of(lambda: cipher(key)) == "INVALID_KEY_CONFIG"


# --- whole answers ------------------------------------------------------------------------------------------------------


def answered(plain: bytes) -> bytes:
    """What becomes of `plain`, sealed as a whole answer but not packed."""
    instance = ChutesRecipient(chute_id="c", instance_id="i")
    sealed, opener = cipher(instance.public_key, take_nonce=instance.new_nonce).seal(CHAT, encoded(chat()), streamed=False)
    exchange = instance.open("/e2e/invoke", dict(sealed.headers), sealed.body)
    encapsulated, aead = exchange._agree(b"e2e-resp-v1", Cheat.NONE)
    nonce = os.urandom(12)
    return opener.whole(encapsulated + nonce + aead.encrypt(nonce, plain, None))


def test_a_whole_answer_of_any_length() -> None:
    assert answered(gzip.compress(b"")) == b""
    assert answered(gzip.compress(bytes(1 << 20))) == bytes(1 << 20)


@pytest.mark.parametrize(
    "packed",
    [b"", b"text", zlib.compress(b"text"), gzip.compress(b"text")[:-1], gzip.compress(b"text") + b"x", gzip.compress(b"a") * 2],
    ids=["nothing", "no gzip", "zlib", "cut", "followed", "twice"],
)
def test_what_is_not_exactly_one_gzip_is_refused(packed: bytes) -> None:
    assert code_of(lambda: answered(packed)) == "MALFORMED_ANSWER"


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chutes, "MAX_ANSWER", 1 << 20)
    assert answered(gzip.compress(bytes(1 << 20))) == bytes(1 << 20)
    assert code_of(lambda: answered(gzip.compress(bytes((1 << 20) + 1)))) == "MALFORMED_ANSWER"


@pytest.mark.parametrize("size", [0, 1, 1087, 1088, 1115])
def test_a_short_answer_is_refused(size: int) -> None:
    _, opener = exchanged(pair_of(), chat())
    assert code_of(lambda: opener.whole(bytes(size))) == "MALFORMED_ANSWER"


# --- streams ------------------------------------------------------------------------------------------------------------


def test_what_the_relay_adds_in_the_clear_is_not_passed_on() -> None:
    opener, (init, *sealed, done) = streamed()
    forged = [b'data: {"usage":{"total_tokens":1}}\n\n', b"data: [DONE]\n\n"]
    opened = opener.feed(init + b"".join(piece + forged[0] + forged[1] for piece in sealed) + done)
    assert list(documents(opened)) == chunks()
    assert b"total_tokens" not in opened
    opener.finish()


def test_usage_that_the_instance_sealed_is_passed_on() -> None:
    counted = {**chunk(), "choices": [], "usage": {"prompt_tokens": 3}}
    exchange, opener = exchanged(pair_of(), chat(stream=True))
    assert list(documents(opener.feed(b"".join(exchange.stream([*chunks(), counted]))))) == [*chunks(), counted]


def test_only_the_sealed_end_mark_ends_a_stream() -> None:
    opener, (init, *sealed, done) = streamed()
    assert opener.feed(init + sealed[0] + done)
    assert code_of(opener.finish) == "FRAMING_TRUNCATED"
    assert code_of(lambda: opener.feed(sealed[1])) == "FRAMING_TRUNCATED"


def test_after_the_end_nothing_is_handed_on() -> None:
    opener, pieces = streamed()
    opener.feed(b"".join(pieces))
    assert opener.feed(pieces[1] + b'data: {"choices":[]}\n\n') == b""
    opener.finish()


def test_an_end_mark_inside_a_piece_counts() -> None:
    exchange, opener = exchanged(pair_of(), chat(stream=True))
    init, *_ = exchange.stream([])
    assert isinstance(opener, ChutesAnswer)
    opener.feed(init)
    assert opener._aead is not None
    nonce = os.urandom(12)
    sealed = nonce + opener._aead.encrypt(nonce, b'data: {"n":1}\n\ndata: [DONE]\n\n', None)
    assert opener.feed(event({"e2e": base64.b64encode(sealed).decode()})) == b'data: {"n":1}\n\ndata: [DONE]\n\n'
    opener.finish()


@pytest.mark.parametrize("name", ["e2e_error", "error"])
def test_an_error_inside_a_stream_loses_its_words(name: str) -> None:
    opener, pieces = streamed()
    opener.feed(pieces[0])
    assert code_of(lambda: opener.feed(event({name: {"message": CANARY}}))) == "PROVIDER_FAILED"


@pytest.mark.parametrize(
    "data",
    [b'{"choices":[]}', b"{}", b'{"usage":{},"choices":[]}', b'{"id":"x","usage":{}}'],
)
def test_other_events_in_the_clear_are_refused(data: bytes) -> None:
    opener, pieces = streamed()
    opener.feed(pieces[0])
    assert code_of(lambda: opener.feed(b"data: " + data + b"\n\n")) == "PLAINTEXT_ANSWER"


@pytest.mark.parametrize(
    "data",
    [
        b"text",
        b"[]",
        b"5",
        b'{"e2e":5}',
        b'{"e2e":"*"}',
        b'{"e2e":""}',
        b'{"e2e":"AAAA"}',
        b'{"e2e":"AAAA="}',
        b'{"e2e_init":"AAAA"}',
        b'{"e2e_init":null}',
    ],
)
def test_garbage_is_refused(data: bytes) -> None:
    opener, pieces = streamed()
    if b"init" not in data:
        opener.feed(pieces[0])
    assert code_of(lambda: opener.feed(b"data: " + data + b"\n\n")) == "MALFORMED_ANSWER"


def test_a_stream_without_its_key_or_with_two_is_refused() -> None:
    opener, pieces = streamed()
    assert code_of(lambda: opener.feed(pieces[1])) == "MALFORMED_ANSWER"
    opener, pieces = streamed()
    assert code_of(lambda: opener.feed(pieces[0] + pieces[0])) == "MALFORMED_ANSWER"


def test_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chutes, "MAX_PIECES", 3)
    opener, pieces = streamed()
    opener.feed(b"".join(pieces[:4]))
    assert code_of(lambda: opener.feed(pieces[4])) == "MALFORMED_ANSWER"


@given(st.lists(st.sampled_from(["swap", "drop"]), max_size=3), st.integers(1, 4))
def test_dropped_and_reordered_pieces_open(steps: list[str], at: int) -> None:
    """What the module says it cannot tell, so that nobody believes otherwise."""
    opener, (init, *sealed) = streamed()
    content, end = sealed[: len(chunks())], sealed[len(chunks()) :]
    for step in steps:
        if step == "swap":
            content.append(content.pop(0))
        else:
            del content[at % len(content)]
    opened = list(documents(opener.feed(b"".join([init, *content, *end]))))
    assert len(opened) == len(content)
    opener.finish()
