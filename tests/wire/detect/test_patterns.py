"""Operators' patterns: RE2, in time linear in the text."""

import time

import pytest

from ollm.errors import WireError
from ollm.wire.detect import patterns
from ollm.wire.detect.patterns import Pattern, available
from tests.wire.detect.finding import found


def test_matches_in_characters_not_bytes() -> None:
    assert available()
    assert found(Pattern(r"(?i)project-\d+", 32), "Für Project-77 é project-8") == ["Project-77", "project-8"]


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)b", "(?<!a)b", "a{2000}", "(", "a*", "(?:x{900}){900}"])
def test_refused(pattern: str) -> None:
    with pytest.raises(WireError):
        Pattern(pattern, 32)


def test_a_pattern_that_would_keep_others_busy_for_ever() -> None:
    begun = time.perf_counter()
    assert found(Pattern("(a+)+$", 128), "a" * 100_000 + "b") == []
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("pattern", "begins"),
    [
        ("ACME-[0-9]{6}", "ACME\\-"),
        (r"\bProject X\b", "Project\\ X"),
        ("colou?r", "colo"),
        ("abc", "abc"),
        ("a+", None),
        ("ab|cd", None),
        ("(?i)acme", None),
        ("[a-c]de", None),
        ("caf\u00e9", "caf"),
        (r"a/b\.c", "a"),
    ],
)
def test_the_trace_is_what_a_pattern_begins_with(pattern: str, begins: str | None) -> None:
    traces = Pattern(pattern, 32).traces
    assert (traces and traces[0].pattern) == begins


def test_open_over_its_longest_match() -> None:
    assert Pattern("ab", 10).open_from("x" * 30) == 21


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "re2", None)
    assert not available()
    with pytest.raises(WireError, match="not installed"):
        Pattern("a", 4)
