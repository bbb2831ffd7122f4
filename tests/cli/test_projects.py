"""`ollm projects`: made, shown, renamed, archived, with their terms."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ollm


@pytest.fixture
def config(config: Path) -> Path:
    """With a model to refer to."""
    with config.open("a") as file:
        file.write('\n[upstreams.acme]\nadapter = "openai"\n[models.small]\nupstreams = ["acme"]\n')
    return config


def told(ollm: Ollm, config: Path, *arguments: object) -> Any:
    return json.loads(ollm(*arguments, "--json", "-c", config).stdout)


def test_a_projects_life(ollm: Ollm, config: Path) -> None:
    assert "is made" in ollm("projects", "create", "Pay roll", "--model", "small", "--budget", "month=25.5", "-c", config).stdout
    (default, made) = told(ollm, config, "projects", "list")
    assert (default["id"], made["name"]) == ("proj_default", "Pay roll")
    assert made["terms"] == {"models": ["small"], "budgets": [{"limit_micro": 25_500_000}]}
    assert "models, budgets" in ollm("projects", "list", "-c", config).stdout
    assert told(ollm, config, "projects", "rename", "Pay roll", "Wages")["name"] == "Wages"
    assert 'models: ["small"]' in ollm("projects", "show", made["id"], "-c", config).stdout
    assert told(ollm, config, "projects", "show", "Wages")["id"] == made["id"]
    assert "is archived" in ollm("projects", "archive", "Wages", "-c", config).stdout
    assert [each["id"] for each in told(ollm, config, "projects", "list")] == ["proj_default"]
    assert "archived 20" in ollm("projects", "list", "--archived", "-c", config).stdout


def test_terms_from_a_file(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "terms.json"
    file.write_text('{"limits":[{"requests_per_minute":5}]}')
    assert told(ollm, config, "projects", "terms", "proj_default", "--set", file) == {"limits": [{"requests_per_minute": 5}]}
    assert "requests_per_minute" in ollm("projects", "terms", "proj_default", "-c", config).stdout
    file.write_text("{}")
    assert "no terms" in ollm("projects", "terms", "proj_default", "--set", file, "-c", config).stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"models":["larg"]}', "'larg'"),
        ('{"surprise":1}', "no terms"),
        ("{", "no JSON"),
        ('{"models":[],"models":[]}', "twice"),
        (None, "can't read"),
    ],
)
def test_files_that_hold_no_terms(ollm: Ollm, config: Path, tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "terms.json"
    if text is not None:
        file.write_text(text)
    assert says in ollm("projects", "terms", "proj_default", "--set", file, "-c", config, exits=2).stderr


def test_names_that_are_nobodys(ollm: Ollm, config: Path) -> None:
    assert "there is no project" in ollm("projects", "archive", "None", "-c", config, exits=2).stderr
    for _ in range(2):
        ollm("projects", "create", "Same", "-c", config)
    assert "several projects" in ollm("projects", "rename", "Same", "x", "-c", config, exits=2).stderr
    assert "default project" in ollm("projects", "archive", "default", "-c", config, exits=2).stderr
