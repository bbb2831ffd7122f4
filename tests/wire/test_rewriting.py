"""What all rewriters of events share."""

import pytest

from ollm.errors import WireError
from ollm.wire.rewriting import EventRewriter
from ollm.wire.sse import Event


class Loud(EventRewriter):
    """Says each event in capitals; `bad` breaks it, `end` ends it."""

    def _event(self, event: Event) -> bytes:
        if event.data == b"bad":
            raise WireError("bad")
        self.done = event.data == b"end"
        self.content_events += 1
        return event.data.upper()


def events(*texts: str) -> bytes:
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def test_events_go_on_until_the_end_and_nothing_behind_it() -> None:
    stream = Loud()
    assert not stream.saw_content
    assert stream.feed(events("a", "b")) == b"AB"
    assert stream.feed(events("end", "c")) == b"END"
    assert (stream.ended, stream.saw_content, stream.content_events) == (True, True, 3)
    assert stream.feed(events("d", "bad")) == b""


def test_good_events_come_before_the_error_that_follows_them() -> None:
    stream = Loud()
    assert stream.feed(events("a", "bad", "b")) == b"A"
    assert stream._broken is not None
    assert stream._broken.__traceback__ is None, "frames that hold an answer don't wait for the next call"
    with pytest.raises(WireError, match="bad"):
        stream.feed(events("c"))
    with pytest.raises(WireError, match="bad"):
        Loud().feed(events("bad", "a"))


def test_a_body_that_ends_before_the_stream_was_cut() -> None:
    stream = Loud()
    stream.feed(events("a"))
    with pytest.raises(WireError, match="without its end mark"):
        stream.close()


def test_each_form_says_what_becomes_of_an_event() -> None:
    with pytest.raises(NotImplementedError):
        EventRewriter().feed(events("a"))
