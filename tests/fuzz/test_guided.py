"""The table of coverage-guided runs, and where they read and write."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import guided
from fuzz.harness import folders, recorded

OUTPUT = "fuzzing from 100.0\n#2\tINITED cov: 8\n#5000\tDONE   cov: 42 ft: 70 corp: 23/56Kb lim: 131072 exec/s: 5000 rss: 66Mb\n"


def test_a_row_holds_what_libfuzzer_said() -> None:
    assert guided.row("tdx-quote", OUTPUT, 102.0).split() == ["tdx-quote", "5,000", "2,500", "42", "66"]
    assert guided.row("tdx-quote", "Killed", 102.0).endswith("ended before its time")


def test_recorded_evidence_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "tdx").mkdir()
    (tmp_path / "tdx" / "a.dat").write_bytes(b"quote")
    assert recorded(("tdx/*.dat", "snp/*.bin"), str(tmp_path)) == [b"quote"]
    assert recorded(("tdx/*.dat",), None) == []


def test_what_began_with_recorded_evidence_outlasts_nothing(tmp_path: Path) -> None:
    fresh, kept = tmp_path / "fresh", tmp_path / "kept"
    assert folders([b"seed"], fresh, kept) == [str(kept), str(fresh / "seeds")]
    assert (fresh / "seeds" / "0").read_bytes() == b"seed"
    assert folders([], tmp_path / "other", None)[0] == str(tmp_path / "other" / "corpus")


def test_a_failed_target_fails_the_run_and_says_what_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "INFO: noise\n === Uncaught Python exception: ===\nKeyError: 'boom'\n"
    monkeypatch.setattr(guided, "ROOT", tmp_path)
    monkeypatch.setattr(guided, "FOLDER", tmp_path / "var")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 77, said, ""))

    assert guided.main(["--only", "tdx-quote", "--runs", "1"]) == 1

    told = capsys.readouterr().out
    assert "FAILED, see var/tdx-quote.log" in told
    assert "KeyError: 'boom'" in told
    assert "noise" not in told


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        guided.main(["--only", "nothing"])


@pytest.mark.process
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: make fuzz brings it")
def test_a_short_run_under_libfuzzer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.guided", "--only", "app-compose", "--runs", "200"], cwd=guided.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "app-compose" in done.stdout
