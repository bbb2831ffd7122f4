"""The command line in this process, and one running play that its commands are asked about."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner, Result

from ollm.app.demo import Stage, stage
from ollm.app.initialise import initialise
from ollm.cli import app
from ollm.cli.output import console
from tests.standing import standing


class Ollm(Protocol):
    """`ollm ARGUMENTS…`, run to its end."""

    def __call__(self, *arguments: object, exits: int = 0) -> Result: ...


@pytest.fixture
def ollm() -> Ollm:
    def run(*arguments: object, exits: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exits, result.output
        return result

    assert not console.quiet
    return run


@pytest.fixture(scope="session")
def play() -> Iterator[Stage]:
    """A gateway, a genuine enclave and a broken one, running for all tests of the command line."""
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with standing(stage(folder)) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A fresh configuration with nothing in it but a free port."""
    return initialise(tmp_path, '[gateway]\nlisten = "127.0.0.1:0"\ndurability = "process"\n')


@pytest.fixture
def play_config(play: Stage) -> Path:
    return play.loaded.directory / "ollm.toml"
