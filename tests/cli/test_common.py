"""What the commands share: one line for our own errors, a traceback for defects, the configuration found."""

from pathlib import Path

import pytest
import typer

from ollm.cli.common import configuration, moment, one_line, run
from ollm.errors import ConfigError, OllmError, StoreError
from tests.cli.conftest import Ollm
from tests.cli.test_cli import VERBS

ARGUMENTS = {"keys create": ["app"], "catalogue": ["near"], "keys revoke": ["k"], "verify provider": ["p"], "verify gateway": ["http://127.0.0.1:1"]}
ARGUMENTS |= {"verify receipt": ["rcpt_0"], "verify session": ["0" * 64, "--policy", "p"]}
ARGUMENTS |= {"verify evidence": ["quote.bin", "--policy", "p"], "collateral export": ["collateral.tar"], "collateral import": ["collateral.tar"]}
ARGUMENTS |= {f"keys {verb}": ["k"] for verb in ("show", "rotate", "disable", "enable")} | {f"db {verb}": ["file"] for verb in ("backup", "restore")}
ARGUMENTS |= {"projects create": ["p"], "projects show": ["p"], "projects rename": ["p", "q"], "projects archive": ["p"], "projects terms": ["p"]}
ARGUMENTS |= {"accounts create": ["a"], "accounts remove": ["a"], "users add": ["u"], "users role": ["u", "viewer"], "users remove": ["u"]}
ARGUMENTS |= {"users join": ["u", "p"], "users leave": ["u", "p"], "audit export": ["file"]}
CONFIGURED = [path for path, command in VERBS.items() if any(parameter.name == "config" for parameter in command.params)]


def ended(problem: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a command that meets `problem`."""

    @one_line
    def command() -> None:
        raise problem

    with pytest.raises(typer.Exit) as end:
        command()
    return end.value.exit_code, capsys.readouterr().err


def test_our_errors_are_one_line_with_cause_and_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(ConfigError("the file is [gone]", "bring it back"), capsys) == (2, "ollm: the file is [gone] — bring it back\n")
    assert ended(ConfigError("the file is gone"), capsys) == (2, "ollm: the file is gone\n")
    assert ended(StoreError("locked", "wait"), capsys) == (2, "ollm: locked (wait)\n")
    assert ended(OllmError("no"), capsys) == (2, "ollm: no\n")


def test_a_defect_keeps_its_traceback() -> None:
    @one_line
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_a_result_is_passed_on_and_the_name_kept() -> None:
    @one_line
    def command(number: int) -> int:
        """Doubles."""
        return 2 * number

    assert command(2) == 4
    assert (command.__name__, command.__doc__) == ("command", "Doubles.")


def test_run_gives_what_a_coroutine_gives() -> None:
    async def work() -> str:
        return "done"

    assert run(work()) == "done"


def test_the_configuration_is_loaded(config: Path) -> None:
    assert configuration(config).directory == config.parent


@pytest.mark.parametrize("path", [path for path in CONFIGURED if path != ("doctor",)], ids=" ".join)
def test_without_a_configuration_every_command_says_how_to_make_one(ollm: Ollm, path: tuple[str, ...], tmp_path: Path) -> None:
    missing = tmp_path / "ollm.toml"
    result = ollm(*path, *ARGUMENTS.get(" ".join(path), []), "-c", missing, exits=2)
    assert result.stdout == ""
    assert result.stderr == f"ollm: can't read {missing}: No such file or directory — run `ollm init`, or name the file with -c\n"


def test_the_environment_can_name_the_configuration(ollm: Ollm, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLM_CONFIG", str(config))
    assert "No models yet" in ollm("models").stdout


def test_a_configuration_with_a_mistake_is_told_by_its_line(ollm: Ollm, tmp_path: Path) -> None:
    (tmp_path / "ollm.toml").write_text("[gateway]\nfloors = 3\n")
    result = ollm("models", "-c", tmp_path / "ollm.toml", exits=2)
    assert "`floors`" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("1795392000", 1795392000),
        ("2026-11-23", 1795392000),
        ("2026-11-23T00:00:00Z", 1795392000),
        ("2026-11-23T01:00:00+01:00", 1795392000),
        ("2026-11-23T00:00:00", 1795392000),
    ],
)
def test_a_moment(at: str, seconds: int) -> None:
    assert moment(at) == seconds


@pytest.mark.parametrize("at", ["", "today", "2026-13-01", "-1", "1" * 20, "²", "20261123", "0", "1" * 13])
def test_what_is_no_moment(at: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        moment(at)


def test_no_moment_is_now() -> None:
    assert moment(None) >= 1795392000
