"""The fastest Python at hand: found among what is there, new enough, and said when there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.fastest_python import main, measured

SCRIPT = Path(__file__).parents[2] / "tools" / "fastest_python.py"


@pytest.mark.process
def test_it_names_one_of_the_candidates() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "no-such-python", sys.executable], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)


@pytest.mark.process
def test_what_is_not_there_or_is_no_python_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert measured("no-such-python") is None
    assert measured("true") is None
    assert main(["no-such-python", "true"]) == 1
    assert "no Python 3.11 or newer" in capsys.readouterr().err
