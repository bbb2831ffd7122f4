"""`ollm keys`: made, listed and revoked, with an HMAC of the secret kept and nothing else."""

import json
import re
import time
from pathlib import Path

import pytest

from ollm.config.load import load
from tests.cli.conftest import Ollm

_KEY = re.compile(r"sk-ollm-\w+-[\w-]+")


def made(ollm: Ollm, config: Path, name: str, *options: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(ollm("keys", "create", name, *options, "--json", "-c", config).stdout)
    return document


def listed(ollm: Ollm, config: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(ollm("keys", "list", "--json", "-c", config).stdout)
    return rows


def test_a_key_is_printed_once_and_not_kept(ollm: Ollm, config: Path) -> None:
    result = ollm("keys", "create", "payroll-app", "-c", config)
    (key,) = _KEY.findall(result.stdout)
    assert "payroll-app" in result.stdout
    assert "requires tee" in result.stdout
    secret = key.split("-", 3)[3].encode()  # base64url: it may hold a hyphen of its own
    state = load(config).path("state")
    assert not [path.name for path in state.iterdir() if secret in path.read_bytes()]


def test_a_key_for_programs(ollm: Ollm, config: Path) -> None:
    before = int(time.time())
    key = made(ollm, config, "app", "--require", "simulated", "--days", "2")
    assert set(key) == {"key", "id", "name", "require", "expires_at", "project_id", "role", "replaces"}
    assert (key["name"], key["require"]) == ("app", "simulated")
    assert str(key["key"]).startswith(f"sk-ollm-{key['id']}-")
    assert isinstance(key["expires_at"], int)
    assert 0 <= key["expires_at"] - before - 2 * 86400 < 60


def test_the_list_has_names_levels_and_ends(ollm: Ollm, config: Path) -> None:
    assert ollm("keys", "list", "-c", config).stdout == "No keys yet. `ollm keys create NAME` makes one.\n"
    assert listed(ollm, config) == []
    endless, ending = made(ollm, config, "endless"), made(ollm, config, "ending", "--days", "1", "--require", "zdr")
    rows = {str(row["id"]): row for row in listed(ollm, config)}
    assert set(rows) == {endless["id"], ending["id"]}
    assert {"id", "name", "require", "created_at", "expires_at", "revoked_at", "project_id", "role"} < set(rows[str(endless["id"])])
    assert not {"mac", "row_mac", "key"} & set(rows[str(endless["id"])])
    assert (rows[str(endless["id"])]["require"], rows[str(endless["id"])]["expires_at"]) == ("tee", None)
    lines = {line.split()[0]: line for line in ollm("keys", "list", "-c", config).stdout.splitlines()}
    assert lines[str(endless["id"])].endswith("no end")
    assert re.search(r"requires zdr +until \d{4}-\d\d-\d\d$", lines[str(ending["id"])])


def test_a_revoked_key_stays_in_the_list_as_revoked(ollm: Ollm, config: Path) -> None:
    first, second = made(ollm, config, "first"), made(ollm, config, "second")
    assert ollm("keys", "revoke", str(first["id"]), "-c", config).stdout == f"Key {first['id']} is revoked.\n"
    assert json.loads(ollm("keys", "revoke", str(second["id"]), "--json", "-c", config).stdout) == {"id": second["id"], "revoked": True}
    assert all(row["revoked_at"] for row in listed(ollm, config))
    assert ollm("keys", "list", "-c", config).stdout.count("revoked") == 2


def test_an_unknown_id_is_one_line(ollm: Ollm, config: Path) -> None:
    result = ollm("keys", "revoke", "nobody", "-c", config, exits=2)
    assert result.stdout == ""
    assert result.stderr == "ollm: there is no such key (list the keys to see their ids)\n"


@pytest.mark.parametrize("name", ["", "two\nlines", "n" * 65, "naïve"])
def test_a_name_that_can_not_be_one_is_one_line(ollm: Ollm, config: Path, name: str) -> None:
    result = ollm("keys", "create", name, "-c", config, exits=2)
    assert result.stderr.startswith("ollm: ")
    assert result.stderr.count("\n") == 1
    assert listed(ollm, config) == []


@pytest.mark.parametrize("option", [("--days", "0"), ("--days", "-1"), ("--days", "1000000000000"), ("--require", "none")])
def test_options_out_of_range_are_refused(ollm: Ollm, config: Path, option: tuple[str, str]) -> None:
    assert option[0] in ollm("keys", "create", "app", *option, "-c", config, exits=2).stderr
    assert listed(ollm, config) == []


def test_without_the_pepper_no_key_is_made(ollm: Ollm, config: Path) -> None:
    (config.parent / "secrets" / "pepper").unlink()
    assert "can't read secret" in ollm("keys", "create", "app", "-c", config, exits=2).stderr


def test_a_key_of_a_project_with_terms(ollm: Ollm, config: Path) -> None:
    ollm("projects", "create", "Payroll", "-c", config)
    options = ("--project", "Payroll", "--limit", "requests_per_minute=60", "--limit", "parallel=2", "--network", "10.0.0.0/8", "--budget", "day=1.5")
    key = made(ollm, config, "app", *options)
    shown = json.loads(ollm("keys", "show", str(key["id"]), "--json", "-c", config).stdout)
    assert shown["terms"] == {
        "limits": [{"requests_per_minute": 60, "parallel": 2}],
        "networks": ["10.0.0.0/8"],
        "budgets": [{"limit_micro": 1_500_000, "window": "day"}],
    }
    assert [row["id"] for row in json.loads(ollm("keys", "list", "--project", "Payroll", "--json", "-c", config).stdout)] == [key["id"]]
    text = ollm("keys", "show", str(key["id"]), "-c", config).stdout
    assert "belongs to nobody in particular" in text
    assert "last used never" in text
    assert "requests_per_minute" in text


def test_a_key_of_an_account(ollm: Ollm, config: Path) -> None:
    account = json.loads(ollm("accounts", "create", "nightly", "--json", "-c", config).stdout)["id"]
    key = made(ollm, config, "second", "--account", account)
    assert "belongs to nightly" in ollm("keys", "show", str(key["id"]), "-c", config).stdout
    assert "no such owner" in ollm("keys", "create", "x", "--account", "svc_none", "-c", config, exits=2).stderr


def test_rotated(ollm: Ollm, config: Path) -> None:
    old = made(ollm, config, "app")
    new = json.loads(ollm("keys", "rotate", str(old["id"]), "--grace", "48h", "--json", "-c", config).stdout)
    assert (new["replaces"], new["key"] != old["key"]) == (old["id"], True)
    rows = {row["id"]: row for row in listed(ollm, config)}
    ends = rows[old["id"]]["expires_at"]
    assert isinstance(ends, int)
    assert 0 <= time.time() + 48 * 3600 - ends < 60
    assert f"takes the place of {old['id']}" in ollm("keys", "show", new["id"], "-c", config).stdout
    assert "successor already" in ollm("keys", "rotate", str(old["id"]), "-c", config, exits=2).stderr


@pytest.mark.parametrize("grace", ["", "48", "2w", "-1h", "1h30m", "999d"])
def test_graces_that_are_none(ollm: Ollm, config: Path, grace: str) -> None:
    key = made(ollm, config, "app")
    assert "grace" in ollm("keys", "rotate", str(key["id"]), "--grace", grace, "-c", config, exits=2).stderr


def test_disabled_and_enabled(ollm: Ollm, config: Path) -> None:
    key = made(ollm, config, "app")
    assert ollm("keys", "disable", str(key["id"]), "-c", config).stdout == f"Key {key['id']} is disabled.\n"
    assert listed(ollm, config)[0]["status"] == "disabled"
    assert json.loads(ollm("keys", "enable", str(key["id"]), "--json", "-c", config).stdout) == {"id": key["id"], "enabled": True}
    assert listed(ollm, config)[0]["status"] == "active"


def test_a_key_of_an_auditor(ollm: Ollm, config: Path) -> None:
    assert made(ollm, config, "audit", "--role", "auditor")["role"] == "auditor"
    ollm("projects", "create", "Payroll", "-c", config)
    assert "belongs to no project" in ollm("keys", "create", "x", "--role", "viewer", "--project", "Payroll", "-c", config, exits=2).stderr
