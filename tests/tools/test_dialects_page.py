"""The page of dialects has every member of every direction, once."""

import re

from ollm.wire.dialects import DIALECTS, SIDES
from tools import dialects_page


def test_every_direction_has_a_table_of_all_members() -> None:
    sections = dialects_page.page().split("\n## ")[3:]
    assert len(sections) == len(DIALECTS)
    for section, (asked, _) in zip(sections, DIALECTS, strict=True):
        rows = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
        assert len(rows) == len(set(rows)) and set(rows) == set(SIDES[asked].reads)


def test_what_becomes_of_a_member() -> None:
    found = {row[0]: row[1:] for row in dialects_page.rows("messages", "chat.completions")}
    assert found["max_tokens"] == ("`max_completion_tokens`", "")
    assert found["stream"] == ("`stream`", "")
    assert found["metadata"][0] == "left out"
    assert found["top_k"][0] == "refused"
    assert found["messages.content[tool_result].is_error"] == (
        "left out",
        "the content of the result, which says what failed, goes on; refused where it has none",
    )
    assert found["messages.content[document].source[url]"][0] == "refused"
    assert dict(row[:2] for row in dialects_page.rows("messages", "responses"))["messages.content[document].source[url]"].endswith("file_url`")


def test_values_that_mean_nothing_are_spelled_as_json() -> None:
    page = dialects_page.page()
    assert all(f"`{value}` may stand" in page for value in ("1", "false", '["text"]', '{"type": "direct"}', "{}", "auto", '{"enabled": false}'))


def test_it_goes_through_members_by_their_fate() -> None:
    fates = [row[1] if row[1] in {"left out", "refused"} else "" for row in dialects_page.rows("responses", "messages")]
    assert fates == sorted(fates)
