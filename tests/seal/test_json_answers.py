"""Documents in bodies and in events, whatever the white space, the cuts and the names."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import SealError, WireError
from ollm.seal.json_answers import JsonAnswer
from ollm.wire.sse import MAX_EVENT
from tests.seal.peers import code_of


class Upper(JsonAnswer):
    """Opens by writing in capitals."""

    def _document(self, data: bytes) -> bytes:
        if b"bad" in data:
            raise SealError("AEAD_DECRYPT_FAILED")
        return data.upper()


def test_a_whole_body_is_one_document() -> None:
    assert Upper().whole(b"text") == b"TEXT"


def test_events_are_opened_and_the_end_mark_is_kept() -> None:
    opener = Upper()
    assert opener.feed(b": comment\n\ndata: a\n\ndata: [DONE]\n\n") == b"data: A\n\ndata: [DONE]\n\n"
    opener.finish()


def test_names_of_events_are_kept() -> None:
    assert Upper().feed(b"event: delta\ndata: a\n\n") == b"event: delta\ndata: A\n\n"


def test_line_ends_inside_a_document_do_not_end_its_event() -> None:
    assert Upper().feed(b"data: {\ndata: }\n\n") == b"data: { }\n\n"


@given(st.lists(st.integers(0, 60), max_size=8))
def test_every_cut_gives_the_same(cuts: list[int]) -> None:
    wire = b"data: a\n\nevent: e\r\ndata: b\r\n\r\ndata: [DONE]\n\n"
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    opener = Upper()
    assert b"".join(opener.feed(wire[a:b]) for a, b in itertools.pairwise(edges)) == b"data: A\n\nevent: e\ndata: B\n\ndata: [DONE]\n\n"
    opener.finish()


@pytest.mark.parametrize("rest", [b"data: b", b"data: b\n", b"da"])
def test_a_stream_that_ends_inside_an_event_was_cut(rest: bytes) -> None:
    opener = Upper()
    assert opener.feed(b"data: a\n\n" + rest) == b"data: A\n\n"
    assert code_of(opener.finish) == "FRAMING_TRUNCATED"
    assert code_of(lambda: opener.feed(b"\n\n")) == "FRAMING_TRUNCATED"


def test_what_looks_like_the_end_mark_is_a_document() -> None:
    assert Upper().feed(b"data: [DONE] x\n\n") == b"data: [DONE] X\n\n"


def test_after_a_failure_there_is_silence() -> None:
    opener = Upper()
    assert code_of(lambda: opener.feed(b"data: good\n\ndata: bad\n\n")) == "AEAD_DECRYPT_FAILED"
    assert code_of(lambda: opener.feed(b"data: good\n\n")) == "AEAD_DECRYPT_FAILED"
    assert code_of(lambda: opener.whole(b"good")) == "AEAD_DECRYPT_FAILED"
    assert code_of(opener.finish) == "AEAD_DECRYPT_FAILED"
    assert code_of(lambda: Upper().whole(b"bad")) == "AEAD_DECRYPT_FAILED"


def test_an_event_that_never_ends_is_refused() -> None:
    with pytest.raises(WireError):
        Upper().feed(b"data: " + bytes(MAX_EVENT))


def test_the_base_opens_nothing() -> None:
    with pytest.raises(NotImplementedError):
        JsonAnswer().whole(b"")
