"""Installations for the system tests: real processes, real sockets, the command line as an operator uses it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.installation import Installation, installed


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """Where installations lie: a short path, since a Unix socket's holds at most 107 bytes (unix(7))."""
    folder = Path(tempfile.mkdtemp(prefix="ollm-system-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def installation(short_dir: Path) -> Iterator[Installation]:
    """One for all tests that leave it as it is."""
    with installed(short_dir / "shared") as running:
        yield running


@pytest.fixture(scope="session")
def api_key(installation: Installation) -> str:
    """A key that simulated machines may serve."""
    return installation.created_key("application", "--require", "simulated")


@pytest.fixture(scope="session")
def strict_key(installation: Installation) -> str:
    """A key as it is made without options: only real hardware may serve it."""
    return installation.created_key("strict-application")
