"""`ollm users`: people, their roles, and the projects that they are in."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Ollm

ADA = "ada@example.com"


def told(ollm: Ollm, config: Path, *arguments: object) -> Any:
    return json.loads(ollm(*arguments, "--json", "-c", config).stdout)


def test_a_persons_life(ollm: Ollm, config: Path) -> None:
    assert "Nobody yet" in ollm("users", "list", "-c", config).stdout
    assert "is added as viewer" in ollm("users", "add", ADA, "--role", "viewer", "-c", config).stdout
    assert told(ollm, config, "users", "role", ADA, "auditor")["role"] == "auditor"
    assert f"{ADA} is member in proj_default" in ollm("users", "join", ADA, "default", "-c", config).stdout
    assert told(ollm, config, "users", "join", ADA, "default", "--role", "owner")["role"] == "owner"
    (listed,) = told(ollm, config, "users", "list")
    assert (listed["email"], listed["projects"]) == (ADA, {"proj_default": "owner"})
    assert "proj_default (owner)" in ollm("users", "list", "-c", config).stdout
    assert "no member of proj_default" in ollm("users", "leave", ADA, "default", "-c", config).stdout
    assert "no project" in ollm("users", "list", "-c", config).stdout
    ollm("users", "join", listed["id"], "default", "-c", config)
    assert told(ollm, config, "users", "leave", listed["id"], "proj_default") == {"id": listed["id"], "project_id": "proj_default", "removed": True}
    assert "keys are revoked" in ollm("users", "remove", ADA, "-c", config).stdout
    assert told(ollm, config, "users", "list") == []


def test_people_who_are_not_there(ollm: Ollm, config: Path) -> None:
    assert "there is nobody" in ollm("users", "remove", ADA, "-c", config, exits=2).stderr
    ollm("users", "add", ADA, "-c", config)
    assert "this name already" in ollm("users", "add", ADA, "-c", config, exits=2).stderr
    assert "no such member" in ollm("users", "leave", ADA, "default", "-c", config, exits=2).stderr
    assert "there is no project" in ollm("users", "join", ADA, "None", "-c", config, exits=2).stderr
