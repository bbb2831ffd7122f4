"""What every cipher owes: round trips, freshness, silence after a failure; and what each can tell of cheating, as a table."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.seal.cipher import AnswerOpener, SealedBody
from ollm.seal.openai_fields import CHAT as PATH
from ollm.testing.sealing.cheats import Cheat
from tests.seal.peers import CANARY, PAIRS, SAID, Pair, answer, chat, chunks, code_of, documents, encoded, exchanged, fed, headers_of, outcome

EVERY = pytest.mark.parametrize("name", PAIRS)
MAKE = st.sampled_from(sorted(PAIRS))


# --- round trips --------------------------------------------------------------------------------------------------------


@EVERY
def test_a_whole_answer(name: str) -> None:
    pair = PAIRS[name]()
    assert pair.cipher.name == name
    exchange, opener = exchanged(pair, chat())
    assert json.loads(opener.whole(exchange.whole(answer()))) == answer()


@EVERY
def test_a_streamed_answer(name: str) -> None:
    exchange, opener = exchanged(PAIRS[name](), chat(stream=True))
    opened = [opener.feed(piece) for piece in exchange.stream(chunks())]
    opener.finish()
    assert b"".join(opened).rstrip().endswith(b"data: [DONE]")
    assert list(documents(b"".join(opened))) == chunks()
    assert sum(bool(piece) for piece in opened) >= len(chunks())  # each piece comes out as soon as it is there


@given(name=MAKE, cuts=st.lists(st.integers(0, 6000), max_size=12))
def test_every_split_of_a_stream_gives_the_same_plaintext(name: str, cuts: list[int]) -> None:
    exchange, opener = exchanged(PAIRS[name](), chat(stream=True))
    assert list(documents(fed(opener, b"".join(exchange.stream(chunks())), cuts))) == chunks()
    opener.finish()


@given(name=MAKE, prompt=st.text(min_size=1), said=st.text())
def test_every_text_passes(name: str, prompt: str, said: str) -> None:
    pair = PAIRS[name]()
    sealed, opener = pair.cipher.seal(PATH, encoded(chat(prompt=prompt)), streamed=False)
    exchange = pair.open(sealed)
    content = exchange.request["messages"][1]["content"]
    assert content == prompt or content == [{"type": "text", "text": prompt}]  # see test_a_prompt_that_reads_as_a_list
    opener.begin(200, headers_of(exchange))
    assert json.loads(opener.whole(exchange.whole(answer(said)))) == answer(said)


@EVERY
def test_content_is_in_nothing_that_is_sent(name: str) -> None:
    sealed, _ = PAIRS[name]().cipher.seal(PATH, encoded(chat()), streamed=False)
    for part in (sealed.body, repr(sealed.headers).encode(), repr(sealed).encode()):
        assert CANARY.encode() not in part
        assert b"quoted" not in part


@EVERY
def test_nothing_is_used_twice(name: str) -> None:
    pair = PAIRS[name]()
    (one, _), (other, _) = (pair.cipher.seal(PATH, encoded(chat()), streamed=False) for _ in range(2))
    assert one.body != other.body
    blobs = [{value for _, value in sealed.headers if len(value) >= 64} for sealed in (one, other)]
    if name == "near-e2ee-v2":  # the model's own key is named in both
        blobs = [values - (blobs[0] & blobs[1]) for values in blobs]
    elif name in {"aci-e2ee-v2", "privatemode-v1"}:  # so is the service's, or the secret
        return
    assert blobs[0].isdisjoint(blobs[1])


@EVERY
def test_an_answer_opens_for_its_own_request_only(name: str) -> None:
    pair = PAIRS[name]()
    (exchange, _), (_, other) = exchanged(pair, chat()), exchanged(pair, chat())
    assert code_of(lambda: other.whole(exchange.whole(answer()))) == "AEAD_DECRYPT_FAILED"


# --- answers that are not sealed ----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("status", [400, 403, 422, 429, 500, 503])
def test_an_error_in_the_clear_is_known_by_its_status(name: str, status: int) -> None:
    _, opener = PAIRS[name]().cipher.seal(PATH, encoded(chat()), streamed=False)
    assert not opener.begin(status, {})


@EVERY
def test_a_whole_answer_in_the_clear_is_refused(name: str) -> None:
    assert refused(name, Cheat.PLAINTEXT, stream=False)[0] in {"PLAINTEXT_ANSWER", "MISSING_RESPONSE_NONCE"}


# --- what each cipher tells ---------------------------------------------------------------------------------------------

OPENS = ""  # the cipher cannot tell
TOLD: dict[Cheat, dict[str, str]] = {
    Cheat.SWAPPED_KEY: dict.fromkeys(PAIRS, "AEAD_DECRYPT_FAILED"),
    Cheat.PLAINTEXT: {**dict.fromkeys(PAIRS, "PLAINTEXT_ANSWER"), "ehbp": "MISSING_RESPONSE_NONCE"},
    Cheat.REFLECTED: {**dict.fromkeys(PAIRS, "AEAD_DECRYPT_FAILED"), "privatemode-v1": "REFLECTED_CIPHERTEXT"},
    Cheat.DROPPED: {
        "ehbp": "AEAD_DECRYPT_FAILED",
        "near-e2ee-v2": OPENS,
        "aci-e2ee-v2": OPENS,
        "chutes-e2ee-v1": OPENS,
        "privatemode-v1": "AEAD_DECRYPT_FAILED",
    },
    Cheat.REORDERED: {
        "ehbp": "AEAD_DECRYPT_FAILED",
        "near-e2ee-v2": OPENS,
        "aci-e2ee-v2": OPENS,
        "chutes-e2ee-v1": OPENS,
        "privatemode-v1": "AEAD_DECRYPT_FAILED",
    },
    Cheat.DUPLICATED: {
        "ehbp": "AEAD_DECRYPT_FAILED",
        "near-e2ee-v2": OPENS,
        "aci-e2ee-v2": OPENS,
        "chutes-e2ee-v1": "MALFORMED_ANSWER",
        "privatemode-v1": "AEAD_DECRYPT_FAILED",
    },
    Cheat.TRUNCATED: {
        "ehbp": "AEAD_DECRYPT_FAILED",  # the end mark is sealed in its place; without it the layer above sees no end
        "near-e2ee-v2": OPENS,
        "aci-e2ee-v2": OPENS,
        "chutes-e2ee-v1": "FRAMING_TRUNCATED",
        "privatemode-v1": OPENS,
    },
}


def refused(name: str, cheat: Cheat, *, stream: bool) -> tuple[str, AnswerOpener]:
    """The code with which an answer is refused, or OPENS."""
    pair = PAIRS[name]()
    sealed, opener = pair.cipher.seal(PATH, encoded(chat(stream=stream)), streamed=stream)
    exchange = pair.open(sealed)

    def read() -> None:
        assert opener.begin(200, headers_of(exchange, cheat))
        if not stream:
            opener.whole(exchange.whole(answer(CANARY), cheat))
            return
        for piece in exchange.stream(chunks(), cheat):
            opener.feed(piece)
        opener.finish()

    said = outcome(read)
    assert CANARY not in said
    return said.partition(" ")[0].removesuffix(":"), opener


@pytest.mark.parametrize("cheat", TOLD, ids=lambda cheat: cheat.name.lower())
@EVERY
def test_cheating_on_a_stream(name: str, cheat: Cheat) -> None:
    assert refused(name, cheat, stream=True)[0] == TOLD[cheat][name]


@pytest.mark.parametrize("cheat", [Cheat.SWAPPED_KEY, Cheat.REFLECTED])
@EVERY
def test_cheating_on_a_whole_answer(name: str, cheat: Cheat) -> None:
    code, opener = refused(name, cheat, stream=False)
    assert code == TOLD[cheat][name]
    assert code_of(lambda: opener.whole(b"{}")) == code


@EVERY
def test_after_a_failure_nothing_is_given_out(name: str) -> None:
    code, opener = refused(name, Cheat.SWAPPED_KEY, stream=True)
    assert code_of(lambda: opener.feed(b"")) == code
    assert code_of(lambda: opener.feed(b"data: [DONE]\n\n")) == code
    assert code_of(opener.finish) == code


def test_what_is_dropped_unseen_is_only_missing() -> None:
    """Where a cipher can't tell, this is what the caller sees: an answer with one piece less, and no sign of it."""
    exchange, opener = exchanged(PAIRS["chutes-e2ee-v1"](), chat(stream=True))
    opened = list(documents(fed(opener, b"".join(exchange.stream(chunks(), Cheat.DROPPED)))))
    assert len(opened) == len(chunks()) - 1
    assert "".join(document["choices"][0]["delta"].get("content", "") for document in opened) != "".join(SAID)


# --- damage -------------------------------------------------------------------------------------------------------------


def damaged(pair: Pair, stream: bool, damage: Callable[[bytes], bytes]) -> bytes:
    exchange, opener = exchanged(pair, chat(stream=stream))
    if not stream:
        return opener.whole(damage(exchange.whole(answer(CANARY))))
    opened = opener.feed(damage(b"".join(exchange.stream(chunks([CANARY] * 5)))))
    opener.finish()
    return opened


@given(name=MAKE, stream=st.booleans(), place=st.integers(0, 8000), mask=st.integers(1, 255))
def test_a_changed_byte_raises_nothing_but_our_errors(name: str, stream: bool, place: int, mask: int) -> None:
    def damage(wire: bytes) -> bytes:
        at = place % len(wire)
        return wire[:at] + bytes([wire[at] ^ mask]) + wire[at + 1 :]

    said = outcome(lambda: damaged(PAIRS[name](), stream, damage))
    assert CANARY not in said
    assert len(said) < 400


@given(name=MAKE, stream=st.booleans(), wire=st.binary(max_size=200) | st.sampled_from([b"", b"null", b"[]", b"data: \n\n", b"data: null\n\n"]))
def test_anything_else_raises_nothing_but_our_errors(name: str, stream: bool, wire: bytes) -> None:
    assert len(outcome(lambda: damaged(PAIRS[name](), stream, lambda _: wire))) < 400


BODIES = st.binary(max_size=200) | st.sampled_from([b"", b"null", b"[1]", b"{}", b'{"messages":' + b"[" * 3000, b'{"model":"\xff"}'])


@given(name=MAKE, body=BODIES)
def test_anything_to_be_sealed_raises_nothing_but_our_errors(name: str, body: bytes) -> None:
    assert len(outcome(lambda: PAIRS[name]().cipher.seal(PATH, body, streamed=False))) < 400


def test_a_sealed_body_prints_nothing() -> None:
    body = SealedBody(CANARY.encode(), (("name", CANARY),))
    assert CANARY not in f"{body!r} {body}"
    assert body.content_type is None, "as the request's"
    assert body.path is None
