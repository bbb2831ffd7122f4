"""Every verb explains itself: help for each command, each argument and each option."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from ollm.cli import app, main
from tests.cli.conftest import Ollm


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups below `command`, with how they are called."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))
VERBS = {path: command for path, command in ALL.items() if not hasattr(command, "commands")}


def test_the_verbs() -> None:
    assert {" ".join(path) for path in VERBS} == {
        "demo",
        "init",
        "serve",
        "admin",
        "apply",
        "usage",
        "models",
        "catalogue",
        "doctor",
        "keys create",
        "keys list",
        *(f"keys {verb}" for verb in ("show", "rotate", "disable", "enable", "revoke")),
        *(f"projects {verb}" for verb in ("list", "create", "show", "rename", "archive", "terms")),
        *(f"accounts {verb}" for verb in ("list", "create", "remove")),
        *(f"users {verb}" for verb in ("list", "add", "role", "remove", "join", "leave")),
        *("audit list", "audit export", "db upgrade", "db backup", "db restore", "db check", "verify audit"),
        *("rules check", "rules explain", "rules test"),
        "verify evidence",
        "verify provider",
        "verify gateway",
        "verify receipt",
        "verify session",
        "policy explain",
        "policy pin",
        "policy from-evidence",
        "collateral list",
        "collateral fetch",
        "collateral export",
        "collateral import",
        "sim enclave",
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_is_there_for_everything(ollm: Ollm, path: tuple[str, ...]) -> None:
    command = ALL[path]
    shown = " ".join(ollm(*path, "--help").stdout.split())
    assert command.help, "a command without a description"
    assert " ".join(command.help.split())[:40] in shown
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} has no help"


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_speaks_to_programs(path: tuple[str, ...]) -> None:
    assert "--json" in {name for parameter in VERBS[path].params for name in parameter.opts}


@pytest.mark.parametrize("path", [path for path in ALL if path not in VERBS and path != ("sim",)], ids=" ".join)
def test_a_group_alone_shows_what_it_has(ollm: Ollm, path: tuple[str, ...]) -> None:
    result = ollm(*path, exits=2)
    assert "Usage:" in result.output


def test_an_unknown_option_is_told_on_standard_error(ollm: Ollm) -> None:
    result = ollm("models", "--yaml", exits=2)
    assert "--yaml" in result.stderr
    assert result.stdout == ""


def test_tracebacks_never_print_local_variables() -> None:
    assert app.pretty_exceptions_enable is False


def test_main_runs_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["ollm", "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "demo" in capsys.readouterr().out


@pytest.mark.process
def test_python_m_ollm_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "ollm", "keys", "--help"], capture_output=True, text=True, check=True)
    assert "revoke" in done.stdout
    assert done.stderr == ""
