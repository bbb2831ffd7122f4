import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.order import Brackets, Order
from ollm.wire.dialects.pieces import CALL, REASONING, TEXT, Began, Block, End, Piece


class Transcript:
    """A teller that writes down what it is told."""

    def begin(self, began: Began) -> bytes:
        return b""

    def open(self, block: Block) -> bytes:
        return f"<{block.number} {block.kind}{block.id and ' ' + block.id}>".encode()

    def say(self, block: Block, text: str) -> bytes:
        return text.encode()

    def close(self, block: Block, *, cut: bool) -> bytes:
        return f"</{block.number}{' cut' if cut else ''}>".encode()

    def end(self, end: End, usage: Usage | None) -> bytes:
        return b""

    def fail(self) -> bytes:
        return b""


def order() -> Order:
    return Order(Transcript(), lambda number: f"minted{number}")


def text(said: str, kind: str = TEXT) -> Piece:
    return Piece(kind, kind, said)


def call(key: int, said: str) -> Piece:
    return Piece(key, CALL, said, f"c{key}", "f")


def test_text_ends_where_something_else_begins() -> None:
    told = order()
    assert told.piece(text("hm", REASONING)) == b"<0 reasoning>hm"
    assert told.piece(text("Hel")) == b"</0><1 text>Hel"
    assert told.piece(text("lo")) == b"lo"
    assert told.piece(text("hm", REASONING)) == b"</1><2 reasoning>hm"
    assert told.finish() == b"</2>"


def test_calls_that_come_in_turn_go_on_at_once() -> None:
    told = order()
    assert told.piece(call(1, "")) == b"<0 call c1>"
    assert told.piece(call(1, '{"a":')) == b'{"a":'
    assert told.piece(call(1, "1}")) == b"1}"
    assert told.piece(call(2, "{}")) == b"</0><1 call c2>{}"
    assert told.piece(text("\n")) == b"</1><2 text>\n"
    assert told.finish(cut=True) == b"</2 cut>"


def test_what_is_interleaved_waits_for_the_call_before_it() -> None:
    told = order()
    told.piece(call(1, '{"a":'))
    assert told.piece(call(2, "[1")) == b""
    assert told.piece(text("so")) == b""
    assert told.piece(text("!")) == b""
    assert told.piece(call(2, "]")) == b""
    assert told.piece(call(1, "2}")) == b"2}</0><1 call c2>[1]</1><2 text>so!"
    assert told.piece(text("?")) == b"?"
    assert told.finish() == b"</2>"


def test_a_call_without_arguments_is_over_when_the_answer_is() -> None:
    told = order()
    assert told.piece(call(1, "")) == b"<0 call c1>"
    assert told.piece(call(2, "{}")) == b""
    assert told.finish() == b"</0><1 call c2>{}</1>"


def test_a_call_is_over_when_the_provider_says_so() -> None:
    told = order()
    told.piece(call(1, ""))
    told.piece(call(2, "{"))
    assert told.closed(2) == b""
    assert told.closed(1) == b"</0><1 call c2>{"
    assert told.closed(1) == told.closed("unknown") == b""
    assert told.piece(call(3, "{}")) == b"</1><2 call c3>{}"
    assert told.closed(3) == b"</2>"
    assert told.finish() == b""


def test_more_of_a_call_that_was_over_is_refused_unless_it_is_nothing() -> None:
    told = order()
    told.piece(call(1, "{}"))
    told.piece(call(2, "{}"))
    assert told.piece(call(1, " \n")) == b""
    with pytest.raises(WireError):
        told.piece(call(1, "canary"))


def test_a_block_does_not_change_its_kind() -> None:
    told = order()
    told.piece(call(1, "{"))
    with pytest.raises(WireError):
        told.piece(Piece(1, TEXT, "canary"))


def test_an_id_that_is_missing_is_minted() -> None:
    assert order().piece(Piece(0, CALL, "", "", "f")) == b"<0 call minted0>"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)), st.data())
def test_brackets_close_at_the_end_of_the_value_and_not_before(value: object, data: st.DataObject) -> None:
    whole = json.dumps({"x": value}, ensure_ascii=data.draw(st.booleans()))
    edges = sorted({0, len(whole) - 1, *data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9))})
    brackets = Brackets()
    for start, end in pairwise(edges):
        brackets.feed(whole[start:end])
        brackets.feed("")
        assert not brackets.whole
    brackets.feed(whole[-1])
    assert brackets.whole


def test_what_is_no_json_does_not_close() -> None:
    brackets = Brackets()
    for text in ("\\", "null", '"{}"', "}"):
        brackets.feed(text)
    assert not brackets.whole
