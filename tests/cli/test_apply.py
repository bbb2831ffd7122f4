"""`ollm apply`: what is declared is there afterwards; a second time there is nothing to change. `ollm admin`: a process."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.cli.apply import declared_in
from ollm.config.load import parse
from ollm.store.declared import Declared
from tests.cli.conftest import Ollm

PROJECTS = """
[upstreams.acme]
adapter = "openai"

[models.small]
upstreams = ["acme"]

[organisation]
name = "Acme"

[projects."Pay roll"]
accounts = ["nightly"]
models = ["small"]
"""


@pytest.fixture
def config(config: Path) -> Path:
    config.write_text(config.read_text() + '\n[admin]\nlisten = "127.0.0.1:0"\n' + PROJECTS)
    return config


def told(ollm: Ollm, config: Path, *arguments: object) -> Any:
    return json.loads(ollm("apply", *arguments, "--json", "-c", config).stdout)


def test_applied_once(ollm: Ollm, config: Path) -> None:
    dry = told(ollm, config, "--dry-run")
    assert (dry["applied"], [step["name"] for step in dry["steps"]]) == (False, ["default", "Pay roll", "Pay roll/nightly"])
    assert dry["steps"][0]["fields"] == {"name": {"before": "default", "after": "Acme"}}
    text = ollm("apply", "--dry-run", "-c", config).stdout
    assert "+ created project Pay roll" in text
    assert "3 differences; nothing was changed" in text
    assert "3 differences applied" in ollm("apply", "-c", config).stdout
    assert ollm("apply", "-c", config).stdout == "Nothing to change.\n"
    assert told(ollm, config) == {"applied": True, "steps": []}
    projects = json.loads(ollm("projects", "list", "--json", "-c", config).stdout)
    assert [(each["name"], each["terms"]) for each in projects][1] == ("Pay roll", {"models": ["small"]})


def test_changes_and_pruning(ollm: Ollm, config: Path) -> None:
    ollm("apply", "-c", config)
    config.write_text(config.read_text().replace('models = ["small"]\n', "max_request_micro = 7\n").replace('accounts = ["nightly"]\n', ""))
    text = ollm("apply", "-c", config).stdout
    assert '    models: ["small"] → none' in text
    assert "    max_request_micro: none → 7" in text
    ollm("projects", "create", "By hand", "-c", config)
    assert ollm("apply", "-c", config).stdout == "Nothing to change.\n"
    pruned = ollm("apply", "--prune", "-c", config).stdout
    assert "- archived project By hand" in pruned
    assert "- archived service account Pay roll/nightly" in pruned
    assert ollm("apply", "--prune", "-c", config).stdout == "Nothing to change.\n"


def test_references_to_nothing_change_nothing(ollm: Ollm, config: Path) -> None:
    config.write_text(config.read_text().replace('models = ["small"]\n', 'models = ["smal"]\n'))
    assert "'smal', which is not configured" in ollm("apply", "-c", config, exits=2).stderr


def test_nothing_is_declared() -> None:
    assert declared_in(parse(b"")) == Declared({})


@pytest.mark.process
def test_the_control_plane_as_a_process(ollm: Ollm, config: Path) -> None:
    key = json.loads(ollm("keys", "create", "ops", "--role", "owner", "--json", "-c", config).stdout)["key"]
    command = [sys.executable, "-m", "ollm", "admin", "--json", "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = json.loads("".join(process.stdout.readline() for _ in range(3)))["url"]
            assert httpx2.get(f"{url}/projects").status_code == 401
            answer = httpx2.get(f"{url}/projects", headers={"authorization": f"Bearer {key}"})
            assert [each["name"] for each in answer.json()["data"]] == ["default"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
