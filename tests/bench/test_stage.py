"""One run at a time, in an emptied directory."""

from pathlib import Path

import pytest

from bench import needs
from bench.procs import BenchError
from bench.stage import alone


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(needs, "VAR", tmp_path / "var")
    return tmp_path / "var"


def test_a_second_run_is_refused_and_leaves_the_first_ones_files_alone(var: Path) -> None:
    with alone():
        (var / "mock.log").write_text("of the first run")
        with pytest.raises(BenchError, match="under way"), alone():
            pass
        assert (var / "mock.log").exists()


def test_what_an_earlier_run_left_is_removed(var: Path) -> None:
    with alone():
        (var / "full").mkdir()
        (var / "full" / "ollm.toml").touch()
        (var / "mock.log").touch()
    with alone():
        assert [entry.name for entry in var.iterdir()] == ["lock"]
