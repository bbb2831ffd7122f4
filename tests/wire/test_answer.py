import json
from itertools import pairwise

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.answer import DONE, StreamRewriter, answer_id, rewrite_whole, whole_text
from ollm.wire.sse import MAX_EVENT

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chunk(text: str = "hi", **members: object) -> dict[str, object]:
    return {"id": "prov-1", "object": "chat.completion.chunk", "model": "up/m", "choices": [{"index": 0, "delta": {"content": text}}], **members}


def sse(*chunks: object) -> bytes:
    return b"".join(b"data: " + (c if isinstance(c, bytes) else json.dumps(c).encode()) + b"\n\n" for c in chunks)


def rewriter(*, include_usage: bool = False) -> StreamRewriter:
    return StreamRewriter(id="chatcmpl-ours", model="demo", include_usage=include_usage)


def sent(output: bytes) -> list[object]:
    return [event if event == b"[DONE]" else json.loads(event) for event in (e.removeprefix(b"data: ") for e in output.split(b"\n\n")[:-1])]


# Whole answers


def test_a_whole_answer_gets_our_id_and_model_and_keeps_the_rest() -> None:
    body = (
        b'{"id":"x","created":1.0,"model":"up","choices":[ {"message":{"content":"caf\\u00e9"}} ],'
        b'"usage":{"prompt_tokens":2,"completion_tokens":1},"extra":1e3}'
    )
    out, usage = rewrite_whole(body, id="chatcmpl-ours", model="demo")
    assert out == (
        b'{"id":"chatcmpl-ours","created":1.0,"model":"demo","choices":[ {"message":{"content":"caf\\u00e9"}} ],'
        b'"usage":{"prompt_tokens":2,"completion_tokens":1},"extra":1e3}'
    )
    assert usage == Usage(input_tokens=2, output_tokens=1)


def test_a_whole_answer_without_id_or_usage() -> None:
    out, usage = rewrite_whole(b'{"choices":[]}', id="i", model="m")
    assert json.loads(out) == {"choices": [], "id": "i", "model": "m"}
    assert usage is None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b'{"a":', b'{"error":{"message":"canary"}}', b'{"error":"canary"}', b'{"a":' + b"[" * 100_000, b'{"a":{"b":"s\xe5"}}'],
)
def test_no_answer_is_no_answer(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        rewrite_whole(body, id="i", model="m")
    assert "canary" not in str(caught.value)


def test_an_answer_that_is_text_is_utf8() -> None:
    assert whole_text("så är det".encode()) == "så är det".encode()
    with pytest.raises(WireError):
        whole_text(b"canary s\xe5")


def test_an_error_object_has_the_status_that_it_stands_for() -> None:
    with pytest.raises(ErrorAnswer) as caught:
        rewrite_whole(b'{"error":{"message":"canary","code":429}}', id="i", model="m")
    assert caught.value.status == 429
    assert "canary" not in str(caught.value)


def test_a_null_error_is_none() -> None:
    assert rewrite_whole(b'{"error":null,"choices":[]}', id="i", model="m")[1] is None


# Streams


def test_a_stream_as_a_transcript() -> None:
    stream = rewriter()
    assert sent(stream.feed(sse(chunk("Hel", usage=None)))) == [
        {"id": "chatcmpl-ours", "object": "chat.completion.chunk", "model": "demo", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    ]
    assert (stream.content_events, stream.saw_content, stream.done, stream.usage) == (1, True, False, None)
    assert len(sent(stream.feed(sse(chunk("lo", usage=None))))) == 1
    assert stream.feed(sse(chunk(choices=[], usage=USAGE))) == b""
    assert stream.usage == Usage(input_tokens=10, output_tokens=5)
    assert stream.feed(sse(b"[DONE]")) == DONE
    assert (stream.done, stream.failed, stream.ended, stream.content_events) == (True, False, True, 2)


def test_the_usage_chunk_reaches_a_client_that_asked() -> None:
    stream = rewriter(include_usage=True)
    output = sent(stream.feed(sse(chunk(usage=None), chunk(choices=[], usage=USAGE))))
    assert [member.get("usage", "absent") for member in output if isinstance(member, dict)] == [None, USAGE]


def test_usage_beside_content_is_read_and_dropped() -> None:
    stream = rewriter()
    (out,) = sent(stream.feed(sse(chunk("last", usage=USAGE))))
    assert "usage" not in out  # type: ignore[operator]
    assert stream.usage is not None


@pytest.mark.parametrize("choices", [b"[]", b"[ ]", b"[\t]"])
def test_an_empty_list_is_empty_however_it_is_written(choices: bytes) -> None:
    stream = rewriter()
    assert stream.feed(b'data: {"choices":' + choices + b',"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n') == b""


def test_the_last_usage_counts() -> None:
    stream = rewriter()
    stream.feed(sse(chunk(usage={"prompt_tokens": 1, "completion_tokens": 1}), chunk(choices=[], usage=USAGE), chunk(choices=[], usage={"x": 1})))
    assert stream.usage == Usage(input_tokens=10, output_tokens=5)


def test_values_and_padding_stay_byte_for_byte() -> None:
    raw = b'{"id":"p","choices":[{"delta":{"content":"\\u00e9"},"p":1.50}],"obfuscation":"aXx9 \\/"}'
    assert rewriter().feed(b"data: " + raw + b"\n\n") == (
        b'data: {"id":"chatcmpl-ours","choices":[{"delta":{"content":"\\u00e9"},"p":1.50}],"obfuscation":"aXx9 \\/","model":"demo"}\n\n'
    )


@pytest.mark.parametrize(
    "error",
    [
        sse(chunk(choices=[], error={"message": "canary", "code": 502})),
        sse({"error": "canary"}),
        sse({"error": {}}),
        b'event: error\ndata: {"message":"canary"}\n\n',
    ],
)
def test_a_provider_error_is_replaced_and_ends_the_stream(error: bytes) -> None:
    stream = rewriter()
    output = stream.feed(sse(chunk()) + error + sse(chunk("after"), b"[DONE]"))
    _, last = sent(output)
    assert "error" in last and "canary" not in str(last)  # type: ignore[operator]
    assert (stream.failed, stream.done) == (True, False)
    assert stream.fault is not None
    assert "canary" not in str(stream.fault)
    assert stream.feed(sse(b"[DONE]")) == b"" and not stream.done


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (sse({"error": {"message": "canary", "type": "requests", "code": "rate_limit_exceeded"}}), 429),
        (sse(chunk(choices=[], error={"message": "canary", "code": 502})), 502),
        (sse({"error": "canary"}), None),
        (b'event: error\ndata: {"message":"canary"}\n\n', None),
    ],
)
def test_an_error_before_anything_else_is_no_stream(error: bytes, status: int | None) -> None:
    with pytest.raises(ErrorAnswer) as caught:
        rewriter().feed(b": a comment\n\n" + error + sse(chunk("after")))
    assert caught.value.status == status
    assert "canary" not in str(caught.value)


def test_data_after_done_is_ignored() -> None:
    stream = rewriter()
    assert stream.feed(sse(b"[DONE]", chunk("late"), b"not json", b"[DONE]")) == DONE
    assert stream.feed(b"garbage") == b""


def test_comments_and_other_fields_are_dropped() -> None:
    assert rewriter().feed(b": keep-alive\n\nid: 3\n\n") == b""


def test_a_cut_stream_is_not_done() -> None:
    stream = rewriter()
    stream.feed(sse(chunk())[:-1])
    assert not stream.ended and not stream.saw_content


@pytest.mark.parametrize("garbage", [b"canary", b"[1]", b'"canary"', b"{", b"", b'{"a":' + b"[" * 50_000, b'{"a":["s\xe5"]}'])
def test_garbage_is_an_error_without_its_text(garbage: bytes) -> None:
    stream = rewriter()
    with pytest.raises(WireError) as caught:
        stream.feed(sse(garbage))
    assert "canary" not in str(caught.value)
    with pytest.raises(WireError):
        stream.feed(sse(b"[DONE]"))
    assert not stream.done


def test_good_events_before_garbage_are_sent_first() -> None:
    stream = rewriter()
    assert len(sent(stream.feed(sse(chunk(), b"garbage", b"[DONE]")))) == 1
    assert not stream.done
    with pytest.raises(WireError):
        stream.feed(b"")


def test_an_event_without_end_is_refused() -> None:
    stream = rewriter()
    for _ in range(MAX_EVENT // 65536):
        stream.feed(b"x" * 65536)
    with pytest.raises(WireError):
        stream.feed(b"x")


def test_line_breaks_between_tokens_do_not_break_the_event() -> None:
    stream = rewriter()
    output = stream.feed(b'data: {"choices":\ndata: [{"delta":\ndata: {}}]}\n\n')
    assert len(sent(output)) == 1 and output.count(b"\n") == 2


def observed(pieces: list[bytes], *, include_usage: bool) -> tuple[bytes, bool, bool, bool, Usage | None, int]:
    stream, output, broken = rewriter(include_usage=include_usage), b"", False
    for piece in pieces:
        try:
            output += stream.feed(piece)
        except WireError:
            broken = True
    try:
        output += stream.feed(b"")
    except WireError:
        broken = True
    return output, broken, stream.done, stream.failed, stream.usage, stream.content_events


events = st.sampled_from(
    [
        sse(chunk("a\u00e9", usage=None)),
        sse(chunk(obfuscation="xxxx")),
        sse(chunk(choices=[], usage=USAGE)),
        sse(chunk("z", usage=USAGE)),
        b": ping\r\n\r\n",
        b'data: {"choices":\r\ndata: []}\r\n\r\n',
        b'event: x\ndata: {"id":1}\n\n',
        sse(b"[DONE]"),
        sse({"error": {"message": "x"}}),
        sse(b"garbage"),
    ]
)


@given(st.lists(events, max_size=8), st.lists(st.integers(0, 900), max_size=30), st.booleans())
def test_any_split_gives_the_same_output(parts: list[bytes], cuts: list[int], include_usage: bool) -> None:
    stream = b"".join(parts)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert observed(pieces, include_usage=include_usage) == observed([stream], include_usage=include_usage)


def test_the_openai_sdk_raises_on_our_error_event() -> None:
    stream = rewriter()
    body = stream.feed(sse(chunk("Hi"), {"error": {"message": "canary"}}))

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    client = openai.OpenAI(api_key="k", base_url="http://test/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(answer)), max_retries=0)
    pieces = iter(client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hi"}], stream=True))
    assert next(pieces).choices[0].delta.content == "Hi"
    with pytest.raises(openai.APIError) as caught:
        next(pieces)
    assert caught.value.code == "upstream_stream_failed"


# The provider's own id


@pytest.mark.parametrize(("body", "named"), [(b'{"id":"theirs"}', "theirs"), (b"{}", None), (b'{"id":7}', None), (b'{"id":null}', None)])
def test_how_the_provider_names_a_whole_answer(body: bytes, named: str | None) -> None:
    assert answer_id(body) == named


def test_what_is_no_answer_has_no_id() -> None:
    with pytest.raises(WireError):
        answer_id(b"[]")


def test_a_stream_is_named_by_its_first_event_that_has_a_name() -> None:
    stream = rewriter()
    assert stream.provider_id is None
    stream.feed(sse({"choices": []}, {"id": 7, "choices": []}, chunk(), {**chunk(), "id": "prov-2"}, b"[DONE]"))
    assert stream.provider_id == "prov-1"


# The tier that served


def test_the_tier_of_a_stream_is_that_of_its_counts_and_known_before_them() -> None:
    stream = rewriter()
    stream.feed(sse({**chunk(), "service_tier": "priority"}))
    assert (stream.tier, stream.usage) == ("priority", None)
    stream.feed(sse({**chunk(), "choices": [], "usage": {"prompt_tokens": 1}}))
    assert stream.usage == Usage(input_tokens=1, tier="priority")
    stream.feed(sse({**chunk(), "choices": [], "service_tier": "flex", "usage": {"prompt_tokens": 2}}))
    assert stream.usage == Usage(input_tokens=2, tier="flex")


@pytest.mark.parametrize("word", [None, 7, "auto"])
def test_a_stream_that_names_no_tier_has_none(word: object) -> None:
    stream = rewriter()
    stream.feed(sse({**chunk(), "service_tier": word}, {**chunk(), "choices": [], "usage": {"prompt_tokens": 1}}))
    assert stream.usage == Usage(input_tokens=1)
