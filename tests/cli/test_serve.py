"""`ollm init` and `ollm serve`: from nothing to a gateway that ends when asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.cli.template import CONFIG
from ollm.config.load import load
from tests.cli.conftest import Ollm


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_init_writes_a_configuration_and_secrets_for_its_owner_alone(ollm: Ollm, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "ollm"
    result = ollm("init", folder)
    assert str(folder / "ollm.toml") in result.stdout
    assert "ollm keys create" in result.stdout
    assert (folder / "ollm.toml").read_text() == CONFIG
    assert mode(folder / "ollm.toml") == 0o600
    assert mode(folder / "secrets") == 0o700
    secrets = sorted((folder / "secrets").iterdir())
    assert [path.name for path in secrets] == ["pepper", "receipt-key", "row-key"]
    assert {mode(path) for path in secrets} == {0o600}
    assert len({path.read_bytes() for path in secrets}) == 3
    assert load(folder / "ollm.toml").settings.models == {}


def test_init_for_programs_and_here(ollm: Ollm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(ollm("init", "--json").stdout) == {"config": "ollm.toml"}
    assert (tmp_path / "ollm.toml").exists()


def test_init_overwrites_nothing(ollm: Ollm, tmp_path: Path) -> None:
    ollm("init", tmp_path)
    (tmp_path / "ollm.toml").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = ollm("init", tmp_path, exits=2)
    assert result.stderr == f"ollm: {tmp_path / 'ollm.toml'} exists already — move it away first: nothing is overwritten\n"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_init_where_nothing_can_be_made(ollm: Ollm, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't make" in ollm("init", tmp_path / "file", exits=2).stderr


# Serving, as processes


@contextmanager
def serving(config: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "ollm", "serve", "-c", str(config), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OLLM_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def announced(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The first JSON document on its standard output."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            break
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.mark.process
def test_serve_announces_itself_serves_and_ends_when_asked(config: Path) -> None:
    with serving(config, "--json") as process:
        document = announced(process)
        assert set(document) == {"url", "config_digest", "keyset_digest"}
        assert document["config_digest"] == load(config).digest
        answer = httpx2.get(f"{document['url']}/healthz")
        assert answer.status_code == 200
        assert answer.headers["x-aci-keyset-digest"] == document["keyset_digest"]

        with serving(config) as second:  # one gateway for each data directory
            _, told = second.communicate(timeout=30)
            assert second.returncode == 2
            assert told.startswith("ollm: ")
            assert told.count("\n") == 1

        process.send_signal(signal.SIGTERM)
        rest, told = process.communicate(timeout=30)
        assert (process.returncode, rest, told) == (0, "", "")


@pytest.mark.process
@pytest.mark.slow
def test_serve_for_people_ends_with_ctrl_c(config: Path) -> None:
    with serving(config) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ollm serves http://127.0.0.1:")
        assert load(config).digest[:19] in line
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
