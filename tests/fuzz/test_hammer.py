"""A run tells what escaped, and its exit status says whether anything did."""

import json

import pytest

from fuzz import hammer
from fuzz.limits import LIMIT_MEMORY, allowed_memory
from fuzz.target import Target
from fuzz.targets import by_name
from ollm.errors import EvidenceRefused


def parse(data: bytes) -> None:
    if data.startswith(b"good"):
        return
    if b"\xff" in data:
        raise KeyError("boom")
    raise EvidenceRefused("some.check", "bad", "good")


TARGET = Target("parser", parse, lambda: [b"good input"])


def test_verdicts_are_counted_and_what_escapes_is_told_with_its_input() -> None:
    outcome = hammer.hammer(TARGET, 2000, seed=1)

    assert sum(outcome.checks.values()) == 2000
    assert set(outcome.checks) == {"some.check", "taken", "escaped"}
    assert len(outcome.findings) == hammer.KEPT
    assert all(finding.startswith("KeyError: 'boom' at ") and "ff" in finding.split("input ")[1] for finding in outcome.findings)


def test_the_same_seed_finds_the_same() -> None:
    assert hammer.hammer(TARGET, 500, seed=7).checks == hammer.hammer(TARGET, 500, seed=7).checks


def test_memory_that_a_library_is_known_to_keep_is_allowed_for() -> None:
    assert allowed_memory(10, 0) == LIMIT_MEMORY
    assert allowed_memory(10, 256) == LIMIT_MEMORY + 2560


def test_memory_beyond_the_limit_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    readings = iter([0, LIMIT_MEMORY + 1])
    monkeypatch.setattr(hammer, "peak_memory", lambda: next(readings))
    monkeypatch.setattr("warnings.simplefilter", lambda *_: None)  # would outlast this test

    assert hammer.main(["strict-json", "--runs", "1"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"] == []


@pytest.mark.parametrize(("name", "status"), [("strict-json", 0), ("parser", 1)])
def test_the_exit_status_says_whether_something_escaped(
    name: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {**by_name(), "parser": TARGET}
    monkeypatch.setattr(hammer, "by_name", lambda: names)
    monkeypatch.setattr("warnings.simplefilter", lambda *_: None)  # would outlast this test

    assert hammer.main([name, "--runs", "300"]) == status
    assert json.loads(capsys.readouterr().out)["name"] == name
