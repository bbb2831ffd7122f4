"""What the page of differences is compared with. The suites themselves are `make conformance`."""

from pathlib import Path

import pytest

from ollm.wire.endpoints import ENDPOINTS
from tools.conformance import PAGE, Difference, based, explained, streamed, unexplained
from tools.conformance_plugin import pytest_sessionfinish


def test_rows_of_the_page_are_differences() -> None:
    rows = explained(PAGE)
    assert rows
    assert {row.suite for row in rows} <= {"openai-python", "llm-comply openai-chat", "llm-comply open-responses", "llm-comply anthropic"}


def test_what_has_no_reason_and_what_has_one_too_many() -> None:
    known = {Difference("a", "x::test_*"), Difference("a", "y::test_one"), Difference("b", "z")}
    found = {Difference("a", "x::test_two"), Difference("a", "y::test_one"), Difference("c", "z")}
    assert unexplained(found, known) == ({Difference("c", "z")}, {Difference("b", "z")})


def test_paths_of_the_document_get_a_base(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("openapi: 3.1.0\npaths:\n  /models: {}\n")
    assert '"/v1/models"' in based(tmp_path / "a.yml", tmp_path / "b").read_text()


def test_how_each_test_ended_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFORMANCE_REPORT", str(tmp_path / "r.json"))
    pytest_sessionfinish()
    assert (tmp_path / "r.json").read_text() == "{}"


def test_a_whole_answer_becomes_a_stream_with_its_endpoints_end() -> None:
    assert streamed(ENDPOINTS["chat.completions"], b'{"id":"x"}') == b'data: {"id": "x"}\n\ndata: [DONE]\n\n'
    assert streamed(ENDPOINTS["responses"], b'{"id":"x"}') == b'data: {"type": "response.completed", "response": {"id": "x"}}\n\n'
    assert b'"type": "transcript.text.done"' in streamed(ENDPOINTS["audio.transcriptions"], b'{"text":"x"}')
