"""`ollm accounts`: service accounts with their first key, shown once."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Ollm


def told(ollm: Ollm, config: Path, *arguments: object) -> Any:
    return json.loads(ollm(*arguments, "--json", "-c", config).stdout)


def test_an_accounts_life(ollm: Ollm, config: Path) -> None:
    assert "No service accounts yet" in ollm("accounts", "list", "-c", config).stdout
    made = told(ollm, config, "accounts", "create", "nightly", "--days", "1", "--require", "zdr")
    assert made["api_key"]["value"].startswith(f"sk-ollm-{made['api_key']['id']}-")
    key = told(ollm, config, "keys", "show", made["api_key"]["id"])
    assert (key["owner"]["service_account"]["id"], key["require"], key["expires_at"] - key["created_at"]) == (made["id"], "zdr", 86_400)
    (listed,) = told(ollm, config, "accounts", "list", "--project", "default")
    assert (listed["id"], listed["project_id"]) == (made["id"], "proj_default")
    assert "nightly" in ollm("accounts", "list", "-c", config).stdout
    assert "keys are revoked" in ollm("accounts", "remove", made["id"], "-c", config).stdout
    assert told(ollm, config, "keys", "show", made["api_key"]["id"])["status"] == "revoked"
    assert told(ollm, config, "accounts", "list") == []


def test_the_key_is_printed_for_people_too(ollm: Ollm, config: Path) -> None:
    assert "  sk-ollm-" in ollm("accounts", "create", "nightly", "-c", config).stdout


def test_accounts_that_are_not_there(ollm: Ollm, config: Path) -> None:
    assert "no such service account" in ollm("accounts", "remove", "svc_none", "-c", config, exits=2).stderr
    made = told(ollm, config, "accounts", "create", "nightly")
    assert told(ollm, config, "accounts", "remove", made["id"]) == {"id": made["id"], "removed": True}
    assert "no such service account" in ollm("accounts", "remove", made["id"], "-c", config, exits=2).stderr
