"""Privatemode's field encryption: order, numbering, both directions, and the faults that are repaired here."""

import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ollm.seal.openai_fields import CHAT, COMPLETIONS, EMBEDDINGS
from ollm.seal.privatemode import PrivatemodeAnswer, PrivatemodeCipher, associated_data
from ollm.testing.sealing.cheats import Cheat, event
from ollm.testing.sealing.privatemode import PrivatemodeExchange, PrivatemodeRecipient
from tests.seal.peers import CANARY, answer, chat, chunk, chunks, code_of, documents, encoded, exchanged, privatemode

SECRET, ID = bytes(range(32)), "c2VjcmV0LWlk+/A="


def drawn(*values: bytes) -> Any:
    """A generator that hands out these values."""
    left = iter(values)
    return lambda size: next(left)


def field(plain: bytes, *, nonce: bytes = bytes(12), iv: bytes = bytes([9] * 12), number: bytes = bytes(4)) -> str:
    """`plain` as a sealed field, by the letter of the protocol."""
    return ":".join([ID, nonce.hex(), iv.hex(), AESGCM(SECRET).encrypt(iv, plain, nonce + number).hex()])


# --- one field ----------------------------------------------------------------------------------------------------------


def test_a_field_by_the_letter() -> None:
    nonce, one, other = bytes([1] * 12), bytes([2] * 12), bytes([3] * 12)
    cipher = PrivatemodeCipher(SECRET, ID, random=drawn(nonce, one, other))
    sealed, _ = cipher.seal(CHAT, b'{"tools":[1, 2],"model":"m","messages":[{"role":"user"}],"stream":false}', streamed=False)
    assert json.loads(sealed.body) == {
        "tools": field(b"[1, 2]", nonce=nonce, iv=other, number=b"\x01\0\0\0"),
        "model": "m",
        "messages": field(b'[{"role":"user"}]', nonce=nonce, iv=one),
        "stream": False,
    }
    assert sealed.headers == (("Privatemode-Secret-ID", ID),)


def test_numbers_are_little_endian() -> None:
    assert associated_data(b"nonce", 0x01020304) == b"nonce\x04\x03\x02\x01"
    assert code_of(lambda: associated_data(b"", 1 << 32)) == "SEQUENCE_OVERFLOW"


# --- requests -----------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("abcxyzABC_-019", min_size=1, max_size=8), st.integers() | st.text() | st.none() | st.lists(st.booleans()), max_size=8)
)
def test_all_members_but_the_plain_ones(members: dict[str, Any]) -> None:
    request = {"messages": [], **members, "model": "m"}
    exchange, _ = exchanged(privatemode(), request)
    assert exchange.request == request


PLAIN_CHAT = {"model": "m", "stream_options": {"include_usage": True}, "max_tokens": 1, "max_completion_tokens": 1, "n": 1, "stream": True}


@pytest.mark.parametrize(
    ("path", "plain"), [(CHAT, PLAIN_CHAT), (COMPLETIONS, PLAIN_CHAT), (EMBEDDINGS, {"model": "m"}), ("/v1/messages", {"model": "m", "stream": True})]
)
def test_what_stays_in_the_clear(path: str, plain: dict[str, Any]) -> None:
    sealed, _ = privatemode().cipher.seal(path, encoded({**plain, "temperature": 0.7, "user": "somebody", "metadata": {}}), streamed=False)
    body = json.loads(sealed.body)
    assert {name: value for name, value in body.items() if not (isinstance(value, str) and value.count(":") == 3)} == plain


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/audio/transcriptions", ""])
def test_other_paths_are_refused(path: str) -> None:
    assert code_of(lambda: privatemode().cipher.seal(path, encoded(chat()), streamed=False)) == "UNSUPPORTED_ENDPOINT"


@pytest.mark.parametrize("body", [b"[]", b"", b'{"model":"m"}', b'{"a.b":1}', b'{"a*":1}', b'{"@this":1}', b'{"":1}', '{"é":1}'.encode()])
def test_what_has_no_agreed_order_is_refused(body: bytes) -> None:
    """The provider's JSON paths give some characters a meaning; it would number other members than we do."""
    assert code_of(lambda: privatemode().cipher.seal(CHAT, body, streamed=False)) == "INVALID_INPUT"


@pytest.mark.parametrize(("secret", "id"), [(bytes(16), ID), (SECRET, ""), (SECRET, "a:b"), (SECRET, 'a"b'), (SECRET, "a\nb")])
def test_a_secret_that_is_none_is_refused(secret: bytes, id: str) -> None:
    assert code_of(lambda: PrivatemodeCipher(secret, id, random=os.urandom)) == "INVALID_KEY_CONFIG"


# --- answers ------------------------------------------------------------------------------------------------------------


def begun(*, stream: bool = False) -> tuple[PrivatemodeExchange, PrivatemodeAnswer]:
    exchange, opener = exchanged(privatemode(), chat(stream=stream))
    assert isinstance(exchange, PrivatemodeExchange)
    assert isinstance(opener, PrivatemodeAnswer)
    return exchange, opener


def test_an_answer_marked_as_not_encrypted_is_refused() -> None:
    exchange, opener = begun()
    assert code_of(lambda: opener.begin(200, {b"privatemode-encrypted": b"false"})) == "PLAINTEXT_ANSWER"
    assert code_of(lambda: opener.begin(200, {b"privatemode-encrypted": b" False "})) == "PLAINTEXT_ANSWER"
    assert opener.begin(200, {b"privatemode-encrypted": b"true"})
    assert not opener.begin(500, {b"privatemode-encrypted": b"false"})
    assert json.loads(opener.whole(exchange.whole(answer()))) == answer()


def test_every_member_but_id_and_usage_is_sealed() -> None:
    exchange, opener = begun()
    wire = exchange.whole(answer(CANARY))
    body = json.loads(wire)
    assert {name for name, value in body.items() if not isinstance(value, str) or value.count(":") != 3} == {"id", "usage"}
    assert CANARY.encode() not in wire
    assert json.loads(opener.whole(wire)) == answer(CANARY)


@pytest.mark.parametrize(
    "value",
    [None, 1, [], {}, "text", "", "a:b:c:d", "a:b:c", f"{ID}:{'00' * 12}:{'00' * 12}:{'00' * 15}", f"{ID}:{'00' * 12}:{'00' * 11}:{'00' * 20}"],
)
def test_plaintext_where_ciphertext_is_due_is_refused(value: Any) -> None:
    _, opener = begun()
    assert code_of(lambda: opener.whole(encoded({"id": "x", "choices": value}))) == "PLAINTEXT_ANSWER"


@pytest.mark.parametrize("part", [0, 1])
def test_a_field_of_another_secret_or_exchange_is_refused(part: int) -> None:
    exchange, opener = begun()
    body = json.loads(exchange.whole(answer()))
    parts = body["model"].split(":")
    parts[part] = "00" * 12
    body["model"] = ":".join(parts)
    assert code_of(lambda: opener.whole(encoded(body))) == "AEAD_DECRYPT_FAILED"


@pytest.mark.parametrize("upper", [False, True])
def test_a_field_of_the_request_does_not_come_back_as_an_answer(upper: bool) -> None:
    """One key, one numbering and no direction: the first field of the request would open as the first of the answer."""
    pair = privatemode()
    sealed, opener = pair.cipher.seal(CHAT, encoded(chat()), streamed=False)
    id, _, rest = json.loads(sealed.body)["messages"].partition(":")
    field = f"{id}:{rest.upper() if upper else rest}"
    assert code_of(lambda: opener.whole(encoded({"choices": field}))) == "REFLECTED_CIPHERTEXT"


def test_the_numbering_goes_on_through_a_stream() -> None:
    exchange, opener = begun(stream=True)
    pieces = exchange.stream(chunks())
    assert list(documents(opener.feed(b"".join(pieces)))) == chunks()
    opener.finish()
    exchange, opener = begun(stream=True)
    pieces = exchange.stream(chunks())
    opener.feed(pieces[0])
    assert code_of(lambda: opener.feed(pieces[2])) == "AEAD_DECRYPT_FAILED"


def test_a_member_left_out_is_told_by_the_next() -> None:
    exchange, opener = begun()
    body = json.loads(exchange.whole(answer()))
    del body["choices"]
    assert code_of(lambda: opener.whole(encoded(body))) == "AEAD_DECRYPT_FAILED"


def test_a_name_without_an_agreed_place_is_refused() -> None:
    exchange, opener = begun()
    assert code_of(lambda: opener.whole(exchange.whole({"a.b": 1}))) == "MALFORMED_ANSWER"


def known() -> Any:
    """The opener of an exchange whose secret and nonce are those of `field`."""
    return PrivatemodeCipher(SECRET, ID, random=bytes).seal(CHAT, encoded(chat()), streamed=True)[1]


def test_a_field_that_opens_to_no_json_is_refused() -> None:
    assert code_of(lambda: known().whole(encoded({"choices": field(b"no json")}))) == "MALFORMED_ANSWER"


def test_line_ends_in_a_sealed_value_do_not_end_its_event() -> None:
    assert known().feed(event({"choices": field(b"[\r\n\n]")})) == b'data: {"choices":[   ]}\n\n'


# --- what cannot be told ------------------------------------------------------------------------------------------------


def test_members_can_be_renamed_as_long_as_their_order_holds() -> None:
    exchange, opener = begun()
    wire = exchange.whole({"choices": [CANARY]}).replace(b'"choices"', b'"changed"')
    assert json.loads(opener.whole(wire)) == {"changed": [CANARY]}


def test_events_can_be_cut_from_the_end() -> None:
    exchange, opener = begun(stream=True)
    *pieces, _, done = exchange.stream(chunks())
    assert len(list(documents(opener.feed(b"".join([*pieces, done]))))) == len(chunks()) - 1
    opener.finish()


def test_what_is_plain_can_be_changed() -> None:
    exchange, opener = begun(stream=True)
    counted = {**chunk(content="x"), "usage": {"prompt_tokens": 3}}
    wire = b"".join(exchange.stream([counted])).replace(b'"prompt_tokens":3', b'"prompt_tokens":9')
    assert next(documents(opener.feed(wire)))["usage"] == {"prompt_tokens": 9}


def test_an_unknown_secret_is_the_providers_error() -> None:
    cipher = PrivatemodeCipher(SECRET, ID, random=os.urandom)
    sealed, opener = cipher.seal(CHAT, encoded(chat()), streamed=False)
    with pytest.raises(Exception, match="no secret for ID"):
        PrivatemodeRecipient({}).open(CHAT, dict(sealed.headers), sealed.body)
    assert not opener.begin(500, {})


def test_the_provider_seals_nothing_when_told_to_cheat() -> None:
    exchange, _ = begun()
    assert exchange.headers(Cheat.PLAINTEXT) == {"Privatemode-Encrypted": "false"}
