"""Exports: whole, in pieces, safe to open, and the audit log's verifies."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollm.admin.exports import cell, csv_lines
from ollm.config.load import key_bytes
from ollm.receipts.audit import Chain, parse_header, parse_line
from ollm.store import extracts
from tests.admin.conftest import Plane
from tests.admin.spent import DAY, ENTRIES, START, spent_plane
from tests.standing import standing


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with standing(spent_plane(folder)) as running_plane:
            yield running_plane
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(plane: Plane, path: str) -> list[dict[str, str]]:
    answer = plane.ask("GET", path)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def lines(plane: Plane, path: str) -> list[dict[str, object]]:
    answer = plane.ask("GET", path)
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_ledger_in_both_forms(plane: Plane) -> None:
    rows, objects = table(plane, "/export/ledger.csv"), lines(plane, "/export/ledger.jsonl")
    assert [row["request_id"] for row in rows] == [entry.request_id for entry in ENTRIES] == [each["request_id"] for each in objects]
    assert rows[0]["input_tokens"] == "10"
    assert objects[1]["cost_micro"] is None
    assert "receipt" not in rows[0]
    head = plane.ask("GET", "/export/ledger.csv").headers
    assert head["content-disposition"] == 'attachment; filename="ledger.csv"'
    assert head["transfer-encoding"] == "chunked"


def test_pages_of_the_ledger_are_put_together(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extracts.entries, "__kwdefaults__", {**(extracts.entries.__kwdefaults__ or {}), "limit": 3})
    assert len(lines(plane, "/export/ledger.jsonl")) == len(ENTRIES)


def test_a_span_of_the_ledger(plane: Plane) -> None:
    assert len(lines(plane, f"/export/ledger.jsonl?start_time={START + 3700}&end_time={START + 3900}")) == 2


def test_usage_in_both_forms(plane: Plane) -> None:
    rows = table(plane, f"/export/usage.csv?start_time={START}&end_time={START + 3 * DAY}")
    assert sum(int(row["requests"]) for row in rows) == len(ENTRIES) - 1
    assert sum(int(row["cost_micro"]) for row in rows) == 2_500_159
    hours = lines(plane, f"/export/usage.jsonl?start_time={START}&end_time={START + DAY}&bucket_width=1h")
    assert {each["start_time"] for each in hours} == {START, START + 3600}
    assert lines(plane, f"/export/usage.jsonl?start_time={START + DAY}&end_time={START + 2 * DAY}") == []


def test_the_audit_log_verifies(plane: Plane) -> None:
    source = plane.loaded.settings.secrets.row_key
    head, *rest = plane.ask("GET", "/export/audit.jsonl", "auditor").content.splitlines()
    chain = Chain(parse_header(head), key_bytes(plane.loaded.secret(source), source))
    for number, line in enumerate(rest, 2):
        chain.take(parse_line(line, number))
    assert str(chain.end()) == plane.get("/audit_logs")["head"]
    rows = table(plane, "/export/audit.csv")
    assert [int(row["entry"]) for row in rows] == list(range(1, len(rest) + 1))
    assert json.loads(rows[0]["changes"])["name"]


def test_texts_that_a_spreadsheet_would_calculate() -> None:
    assert [cell(text) for text in ("=1+2", "+1", "-1", "@SUM", "a=1", "")] == ["'=1+2", "'+1", "'-1", "'@SUM", "a=1", ""]
    assert [cell(-1), cell(None), cell({"a": "=1"})] == [-1, None, '{"a":"=1"}']
    assert csv_lines([["a,b", 'c"d']]) == b'"a,b","c""d"\r\n'


@pytest.mark.parametrize(
    "path", ["/export/usage.csv", "/export/ledger.jsonl?surprise=1", "/export/audit.csv?limit=1", "/export/usage.csv?start_time=1&bucket_width=1m"]
)
def test_questions_that_have_no_answer(plane: Plane, path: str) -> None:
    plane.refused("GET", path, 400, "invalid_query")


@pytest.mark.parametrize("path", ["/export/keys.csv", "/export/usage.xml", "/export/usage"])
def test_exports_that_are_none(plane: Plane, path: str) -> None:
    plane.refused("GET", path, 404, "unknown_url")
