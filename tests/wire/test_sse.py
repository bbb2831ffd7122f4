import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.wire.errors import error_event
from ollm.wire.sse import Event, EventParser, data_event


def parse(*pieces: bytes) -> list[Event]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(("stream", "cut"), [(b"", False), (b"data: a\n\n", False), (b"data: a\n", True), (b"da", True), (b": comment\n", False)])
def test_whether_an_end_here_would_cut_an_event(stream: bytes, cut: bool) -> None:
    parser = EventParser()
    parser.feed(stream)
    assert parser.cut is cut


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event(b"a")]),
        (b"data:a\n\n", [Event(b"a")]),
        (b"data:  a\n\n", [Event(b" a")]),  # one space is the separator
        (b"data: a\r\n\r\n", [Event(b"a")]),
        (b"data: a\r\r", [Event(b"a")]),
        (b"data: a\n\r\n", [Event(b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event(b"a")]),
        (b"data: a\n\ndata: b\n\n", [Event(b"a"), Event(b"b")]),
        (b"data: a\ndata: b\n\n", [Event(b"a\nb")]),
        (b"data\n\n", [Event(b"")]),
        (b"data:\ndata:\n\n", [Event(b"\n")]),
        (b": comment\n\ndata: a\n\n", [Event(b"a")]),
        (b"data: a\n: comment\n\n", [Event(b"a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [Event(b"a", "error"), Event(b"b")]),
        (b"event: lost\n\ndata: b\n\n", [Event(b"b")]),  # an event without data is none, and its name is forgotten
        (b"id: 7\nretry: 10\nunknown: x\ndata: a\n\n", [Event(b"a")]),
        (b"\n\n\n\ndata: a\n\n\n", [Event(b"a")]),
        (b"data: a", []),
        (b"data: a\n", []),  # cut off before its end
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),  # only one BOM is a BOM
        (b"", []),
    ],
)
def test_the_standard_decides(stream: bytes, events: list[Event]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == events


lines = st.sampled_from([b"data: x", b"data:", b"data", b"event: e", b": c", b"", b"", b"data: \xc3\xa9", b"id: 1", b"\xef\xbb\xbfdata: y"])
ends = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(lines, ends)), st.lists(st.integers(0, 200)))
def test_any_split_gives_the_same_events(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(line + end for line, end in parts)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert parse(*(stream[a:b] for a, b in pairwise(edges))) == parse(stream)


@pytest.mark.parametrize("piece", [b"x" * 40, b"data: x\n" * 8, b"data: " + b"y" * 40])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    parser = EventParser(max_event=64)
    parser.feed(piece)
    with pytest.raises(WireError):
        parser.feed(piece)


def test_the_cap_is_per_event_not_per_stream() -> None:
    parser = EventParser(max_event=64)
    assert sum(len(parser.feed(b"data: " + b"x" * 40 + b"\n\n")) for _ in range(100)) == 100


def test_events_before_a_too_large_one_are_seen_first() -> None:
    parser = EventParser(max_event=64)
    assert parser.feed(b"data: a\n\ndata: " + b"x" * 100) == [Event(b"a")]
    with pytest.raises(WireError):
        parser.feed(b"\n\n")


def test_an_events_repr_shows_nothing() -> None:
    assert "secret" not in repr(parse(b"data: secret\n\n"))


def test_an_error_event_has_the_form_that_sdks_raise_on() -> None:
    (event,) = parse(error_event("It broke.", "upstream_error", "upstream_stream_failed"))
    assert json.loads(event.data)["error"]["message"] == "It broke."
    assert data_event(b"{}") == b"data: {}\n\n"
