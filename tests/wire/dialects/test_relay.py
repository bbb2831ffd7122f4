import pytest

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.dialects.chat.hearing import ChatHearer
from ollm.wire.dialects.chat.telling import ChatTeller
from ollm.wire.dialects.frame import Frame
from ollm.wire.dialects.messages.hearing import MessagesHearer
from ollm.wire.dialects.messages.telling import MessagesTeller
from ollm.wire.dialects.pieces import CALLS, LENGTH, STOP, End
from ollm.wire.dialects.relay import Relay, reasoned
from tests.wire.dialects.provider_answers import block, chunk, data, message_delta, message_start, named


def relay() -> Relay:
    frame = Frame("msg_1", "demo", {})
    return Relay(ChatHearer(), MessagesTeller(frame), lambda number: frame.derived("call", number))


def test_a_stream_as_a_transcript() -> None:
    stream = relay()
    assert (stream.saw_content, stream.provider_id) == (False, None)
    assert stream.feed(data(chunk({"role": "assistant"}))).startswith(b"event: message_start\n")
    assert b'"text_delta","text":"Hi"' in stream.feed(data(chunk({"content": "Hi"})))
    assert (stream.saw_content, stream.content_events, str(stream.provider_id)) == (True, 1, "prov-1")
    assert stream.feed(data(chunk({}, "stop"))) == b""
    assert stream.feed(data(chunk(usage={"prompt_tokens": 3, "completion_tokens": 1}))) == b""
    assert stream.usage == Usage(input_tokens=3, output_tokens=1)
    end = stream.feed(data(b"[DONE]"))
    assert end.startswith(b"event: content_block_stop\n") and end.endswith(b'data: {"type":"message_stop"}\n\n')
    assert stream.done and stream.feed(b"garbage") == b""


def test_usage_that_is_none_does_not_unmake_what_was_counted() -> None:
    stream = relay()
    stream.feed(data(chunk(usage={"prompt_tokens": 3, "completion_tokens": 1}), chunk(usage={"x": 1})))
    assert stream.usage == Usage(input_tokens=3, output_tokens=1)
    assert relay().usage is None


def test_good_events_before_garbage_are_sent_first() -> None:
    stream = relay()
    assert stream.feed(data(chunk({"content": "Hi"}), b"canary", b"[DONE]")) != b""
    for _ in range(2):
        with pytest.raises(WireError) as caught:
            stream.feed(b"")
        assert "canary" not in str(caught.value)
    assert not stream.ended


def test_garbage_alone_is_an_error_at_once() -> None:
    with pytest.raises(WireError):
        relay().feed(data(b"canary"))


def test_an_end_mark_without_a_reason_is_an_error() -> None:
    for events in ((chunk({"content": "Hi"}),), ()):
        stream = relay()
        stream.feed(data(*events))
        with pytest.raises(WireError, match="ended without a reason"):
            stream.feed(data(b"[DONE]"))
        assert not stream.done


def test_a_body_that_ends_is_a_cut() -> None:
    stream = relay()
    stream.feed(data(chunk({"content": "Hi"}), chunk({}, "stop")))
    with pytest.raises(WireError, match="without its end mark"):
        stream.close()


def test_content_has_a_beginning() -> None:
    frame = Frame("chatcmpl-1", "demo", {})
    text = block(0, {"type": "text", "text": "Hi"})
    stream = Relay(MessagesHearer(), ChatTeller(frame), str)
    with pytest.raises(WireError, match="content before its beginning"):
        stream.feed(named(*text))
    stream = Relay(MessagesHearer(), ChatTeller(frame), str)
    stream.feed(named(message_start()))
    assert stream.feed(named(message_start())) == b""  # begun already
    stream.feed(named(*text, message_delta("end_turn"), {"type": "message_stop"}))
    assert stream.done


def test_an_error_ends_the_stream() -> None:
    stream = relay()
    assert stream.feed(data(chunk({"content": "Hi"}), {"error": {"message": "canary"}}, chunk({"content": "late"}))).count(b"event: error") == 1
    assert stream.failed and stream.ended and not stream.done
    assert stream.fault is not None


@pytest.mark.parametrize(("error", "status"), [({"code": 429}, 429), ({"type": "overloaded_error"}, 503), ({"message": "canary"}, None)])
def test_an_error_before_anything_else_is_no_stream(error: dict[str, object], status: int | None) -> None:
    stream = relay()
    assert stream.feed(b": comment\n\n") == b""
    with pytest.raises(ErrorAnswer) as caught:
        stream.feed(data({"error": error}))
    assert caught.value.status == status
    assert not stream.ended


def test_who_calls_tools_ends_with_calls() -> None:
    assert reasoned(End(STOP), called=True) == End(CALLS)
    assert reasoned(End(STOP, "x"), called=False) == End(STOP, "x")
    assert reasoned(End(LENGTH), called=True) == End(LENGTH)
