"""Forbidden texts are found where they stand; look-alikes are left alone. Samples are glued, so that the check passes over this file."""

import subprocess
from pathlib import Path

import pytest

from tools.check_text import ROOT, findings, main


@pytest.mark.parametrize(
    "text",
    [
        "https://py" + "pi.org/simple",
        "https://files.python" + "hosted.org/packages/x.whl",
        "registry.npm" + "js.org",
        "cd /wo" + "rk/main",
        "/ro" + "ot/.cache",
        "/ho" + "me/alice/ollm",
        "../sha" + "red/design",
        "-----BEGIN PRIV" + "ATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDXkH1",
        "-----BEGIN EC PRIV" + "ATE KEY-----\\nMHcCAQEEIB8wK2VwBCIEIDXkH1",
        "# TO" + "DO: later",
        "<<<<" + "<<< HEAD",
    ],
)
def test_a_forbidden_text_is_found_with_its_line(text: str) -> None:
    assert [finding.split(":")[0] for finding in findings("a.md", f"first\n{text}\n")] == ["2"]


@pytest.mark.parametrize(
    "text",
    [
        "/workload",
        "node.js organisation",
        "GET /v1/root",
        "the /rootCA.pem file",
        "PyPI",
        "$HOME/x",
        "a private key",
        "-----BEGIN PRIV" + "ATE KEY-----\nAAAA",
    ],
)
def test_look_alikes_are_not_found(text: str) -> None:
    assert list(findings("a.md", text)) == []


def test_only_ci_may_name_the_evidence() -> None:
    text = "../sha" + "red/evidence"
    assert list(findings(".ci/run", text)) == []
    assert len(list(findings("Makefile", text))) == 1


def test_the_project_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ROOT) == 0, capsys.readouterr().out


def test_findings_make_it_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "a.txt").write_text("FIX" + "ME\n")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    assert main(tmp_path) == 1
    assert capsys.readouterr().out.startswith("a.txt:1: ")
