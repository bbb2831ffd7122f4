"""`ollm usage`: a table for people, CSV for spreadsheets, JSON for programs; all of them add up."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ollm.config.load import load
from tests.admin.spent import KEYS, spend
from tests.cli.conftest import Ollm

WINDOW = ("--start", "2023-11-15", "--end", "2023-11-18")


@pytest.fixture
def config(config: Path) -> Path:
    asyncio.run(spend(load(config)))
    return config


def told(ollm: Ollm, config: Path, *arguments: object) -> Any:
    return json.loads(ollm("usage", *WINDOW, *arguments, "--json", "-c", config).stdout)


def test_the_table(ollm: Ollm, config: Path) -> None:
    lines = ollm("usage", *WINDOW, "-c", config).stdout.splitlines()
    assert lines[0] == "From 2023-11-15 to 2023-11-17, UTC"
    assert lines[1].split() == ["project", "model", "requests", "prompt", "completion", "estimated", "cost"]
    assert lines[2].split() == ["proj_one", "small", "8", "46", "45", "12", "%", "2.500159", "USD"]
    assert lines[3].split() == ["proj_two", "acme/large-1", "1", "25", "15", "-", "0.0000", "USD", "+", "unknown"]
    assert lines[4].split()[:3] == ["total", "9", "71"]
    assert lines[5] == "1 requests used models whose price isn't known; they are in no cost."


def test_the_same_for_programs_and_spreadsheets(ollm: Ollm, config: Path) -> None:
    rows = told(ollm, config, "--by", "day,key")["rows"]
    assert [(row["day"], row["key"], row["requests"]) for row in rows] == [
        ("2023-11-15", KEYS[0], 2),
        ("2023-11-15", KEYS[1], 1),
        ("2023-11-17", KEYS[0], 6),
    ]
    text = ollm("usage", *WINDOW, "--by", "day,key", "--csv", "-c", config).stdout
    table = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["cost_micro"]) for row in table] == [row["cost_micro"] for row in rows]


def test_filters(ollm: Ollm, config: Path) -> None:
    assert [row["model"] for row in told(ollm, config, "--project", "proj_two")["rows"]] == ["acme/large-1"]
    assert told(ollm, config, "--key", KEYS[1])["rows"] == told(ollm, config, "--model", "acme/large-1")["rows"]
    (total,) = told(ollm, config, "--by", "")["rows"]
    assert (total["requests"], total["estimated"], total["unpriced"]) == (9, 1, 1)


def test_keys_are_shown_by_their_names(ollm: Ollm, config: Path) -> None:
    assert KEYS[0] in ollm("usage", *WINDOW, "--by", "key", "-c", config).stdout  # this one has no row of its own


def test_nothing_was_used(ollm: Ollm, config: Path) -> None:
    assert "No request reached a provider" in ollm("usage", "--days", "1", "-c", config).stdout
    assert told(ollm, config, "--project", "proj_none")["rows"] == []


@pytest.mark.parametrize("arguments", [("--by", "prompt"), ("--by", "key,key"), ("--start", "2023-11-18", "--end", "2023-11-15"), ("--start", "x")])
def test_questions_that_have_no_answer(ollm: Ollm, config: Path, arguments: tuple[str, ...]) -> None:
    assert ollm("usage", *arguments, "-c", config, exits=2).stderr.startswith("ollm: ")
