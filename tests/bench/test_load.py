"""What is asked is the same for each target, and an answer counts only when it is whole."""

import json

import pytest

from bench.load import LARGE, MEGABYTE, STREAM, TEN_MEGABYTES, WHOLE, parse, streamed_text, whole_text
from bench.procs import BenchError

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a "}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'


def test_bodies_have_the_size_they_are_named_for() -> None:
    assert len(WHOLE.body()) < 400
    assert 64 * 1024 <= len(LARGE.body()) < 65 * 1024
    assert 1_000_000 <= len(MEGABYTE.body()) < 1_001_000
    assert 10_000_000 <= len(TEN_MEGABYTES.body()) < 10_001_000
    assert json.loads(STREAM.body())["stream"] is True


def test_a_whole_stream_gives_its_text() -> None:
    assert streamed_text(CHUNK + CHUNK + FINISH + USAGE + b"data: [DONE]\n\n") == "a a "


@pytest.mark.parametrize("body", [CHUNK + FINISH, b"", b'data: {"error":{"message":"no"}}\n\ndata: [DONE]\n\n'], ids=["cut", "empty", "error event"])
def test_a_stream_that_is_not_whole_is_no_answer(body: bytes) -> None:
    with pytest.raises(BenchError):
        streamed_text(body)


def test_an_answer_without_a_message_is_no_answer() -> None:
    with pytest.raises(BenchError):
        whole_text(b'{"choices":[]}')


def test_figures_come_from_the_line_of_the_wrk_script() -> None:
    assert parse('Running 1s test\n\nBENCH {"requests":3,"status":0}\n') == {"requests": 3, "status": 0}
    with pytest.raises(BenchError, match="unable to connect"):
        parse("unable to connect\n")
