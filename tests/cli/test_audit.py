"""`ollm audit` and `ollm verify audit`: exit code 0 where nothing was changed, 1 where something was, 2 where it can't be told."""

import json
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from ollm.config.load import load
from tests.cli.conftest import Ollm


@pytest.fixture
def config(ollm: Ollm, config: Path) -> Path:
    """With three events in its log."""
    for name in "ABC":
        ollm("projects", "create", f"Project {name}", "-c", config)
    return config


@pytest.fixture
def log(ollm: Ollm, config: Path, tmp_path: Path) -> Path:
    """The exported log."""
    file = tmp_path / "audit.jsonl"
    ollm("audit", "export", file, "-c", config)
    return file


def verdict(ollm: Ollm, *arguments: object, exits: int = 0) -> Any:
    return json.loads(ollm("verify", "audit", *arguments, "--json", exits=exits).stdout)


def failed(document: Any) -> str:
    (name,) = (check["name"] for check in document["checks"] if check["outcome"] == "failed")
    return str(name)


def tampered(config: Path, statement: str) -> None:
    database = sqlite3.connect(load(config).path("state") / "ollm.db")
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    database.execute(statement)
    database.commit()
    database.close()


def test_the_list(ollm: Ollm, config: Path) -> None:
    (newest, *_) = json.loads(ollm("audit", "list", "--limit", "2", "--json", "-c", config).stdout)
    assert (newest["entry"], newest["action"], newest["changes"]["name"]) == (3, "project.created", "Project C")
    assert "project.created" in ollm("audit", "list", "-c", config).stdout


def test_an_empty_log(ollm: Ollm, tmp_path: Path) -> None:
    ollm("init", tmp_path / "new")
    config = tmp_path / "new" / "ollm.toml"
    assert ollm("audit", "list", "-c", config).stdout == "Nothing yet.\n"
    assert verdict(ollm, "-c", config)["events"] == 0


def test_the_stores_log_holds(ollm: Ollm, config: Path) -> None:
    found = verdict(ollm, "-c", config)
    assert (found["accepted"], found["events"]) == (True, 3)
    assert [check["outcome"] for check in found["checks"]] == ["passed"] * 4
    assert "--head" in found["unproven"][0]
    assert verdict(ollm, "--head", found["head"], "-c", config)["unproven"] == []
    assert "Accepted" in ollm("verify", "audit", "-c", config).stdout


def test_an_exported_log_holds_anywhere(ollm: Ollm, config: Path, log: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    found = verdict(ollm, log, "-c", tmp_path / "no-such.toml")
    assert (found["accepted"], found["events"], len(found["unproven"])) == (True, 3, 2)
    assert [check["name"] for check in found["checks"]] == ["audit.format", "audit.entry", "audit.digest"]
    keyed = verdict(ollm, log, "--macs", "--head", found["head"], "-c", config)
    assert keyed["unproven"] == []
    assert json.loads(ollm("audit", "export", tmp_path / "again", "--json", "-c", config).stdout)["head"] == found["head"]
    assert "exists already" in ollm("audit", "export", log, "-c", config, exits=2).stderr


@pytest.mark.parametrize(
    ("statement", "step"),
    [
        ("UPDATE audit SET actor = 'local_9' WHERE entry = 2", "audit.digest"),
        ("UPDATE audit SET detail = '{}' WHERE entry = 2", "audit.format"),
        ("UPDATE audit SET row_mac = zeroblob(32) WHERE entry = 2", "audit.mac"),
        ("DELETE FROM audit WHERE entry = 2", "audit.entry"),
    ],
)
def test_a_store_that_was_tampered_with(ollm: Ollm, config: Path, statement: str, step: str) -> None:
    tampered(config, statement)
    assert failed(verdict(ollm, "-c", config, exits=1)) == step
    text = ollm("verify", "audit", "-c", config, exits=1).stdout
    assert step in text
    assert "Refused" in text


def test_a_cut_end_shows_against_a_head(ollm: Ollm, config: Path, log: Path) -> None:
    head = verdict(ollm, "-c", config)["head"]
    tampered(config, "DELETE FROM audit WHERE entry = 3")
    assert verdict(ollm, "-c", config)["events"] == 2
    assert failed(verdict(ollm, "--head", head, "-c", config, exits=1)) == "audit.head"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    assert failed(verdict(ollm, log, "--head", head, exits=1)) == "audit.head"
    assert failed(verdict(ollm, log, "--head", "0:" + "00" * 32, exits=1)) == "audit.head"
    assert failed(verdict(ollm, "--head", "0:" + "00" * 32, "-c", config, exits=1)) == "audit.head"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda lines: [lines[0], lines[2], lines[3]], "audit.entry"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "audit.entry"),
        (lambda lines: [lines[0], lines[1].replace(b"Project A", b"Project X"), *lines[2:]], "audit.digest"),
        (lambda lines: lines[1:], "audit.format"),
        (lambda lines: [lines[0], b"not JSON\n", *lines[1:]], "audit.format"),
        (lambda lines: [*lines[:-1], lines[-1].rstrip(b"\n")], "audit.format"),
        (lambda lines: [], "audit.format"),
    ],
)
def test_a_file_that_was_tampered_with(ollm: Ollm, log: Path, change: Any, step: str) -> None:
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))
    assert failed(verdict(ollm, log, exits=1)) == step


def test_a_chain_built_anew_shows_by_its_macs(ollm: Ollm, config: Path, log: Path) -> None:
    (config.parent / "secrets" / "row-key").write_text("00" * 32 + "\n")
    assert verdict(ollm, log)["accepted"]
    assert failed(verdict(ollm, log, "--macs", "-c", config, exits=1)) == "audit.mac"


def test_what_can_not_be_judged(ollm: Ollm, config: Path, tmp_path: Path) -> None:
    assert "--head is no head" in ollm("verify", "audit", "--head", "7", "-c", config, exits=2).stderr
    assert "can't read" in ollm("verify", "audit", tmp_path / "none", exits=2).stderr
    assert "can't read" in ollm("verify", "audit", "-c", tmp_path / "none.toml", exits=2).stderr
    tampered(config, "UPDATE audit SET detail = '{}' WHERE entry = 3")
    assert "verify audit" in ollm("audit", "list", "-c", config, exits=2).stderr
