"""`make evidence`: what counts as agreement, and the table; with the recordings, that all agree and the page is theirs."""

import os
from pathlib import Path
from typing import Any

import pytest

from ollm.attest.tables import ALL_CHECKS
from tools import evidence
from tools.evidence import PAGE, REASONS, Found, Row, judged, main, page


def row(verdict: str, found: Found | None, *, tech: str = "tdx", **members: Any) -> Row:
    return Row({"tech": tech, "kind": "quote", "file": f"{tech}/q.dat", "verdict": verdict, **members}, found)


@pytest.mark.parametrize(
    ("agrees", "case"),
    [
        (True, row("accept", Found(None))),
        (False, row("accept", Found("tcb.status"))),
        (True, row("refuse", Found("quote.debug"), all_reasons=["tcb_level", "debug"])),
        (False, row("refuse", Found("quote.format"), all_reasons=["tcb_level", "debug"])),
        (False, row("refuse", Found(None), all_reasons=["debug"])),
        (False, row("refuse", Found("nobody.knows"), all_reasons=["debug"])),
        (True, row("indeterminate", Found("machine.collateral"))),
        (False, row("indeterminate", Found("quote.format"))),
        (False, row("indeterminate", Found(None))),
        (True, row("accept", None, tech="sgx")),
    ],
)
def test_agreement_is_of_verdict_and_reason(agrees: bool, case: Row) -> None:
    assert case.agrees is agrees


def test_reasons_are_of_checks_that_exist() -> None:
    assert set(REASONS) <= set(ALL_CHECKS)


def test_the_page_shows_each_case_and_marks_what_differs() -> None:
    text = page([row("accept", Found(None)), row("refuse", Found(None), variant="late", all_reasons=["expired"]), row("accept", None, tech="sgx")])

    assert "| tdx | 2 | 1 | 1 | 0 | 1 |" in text
    assert "| tdx | `q.dat` | accept | accept |" in text
    assert "| tdx | `q.dat late` | refuse: expired | accept **differs** |" in text
    assert "- sgx (" in text


def test_without_recordings_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OLLM_EVIDENCE_DIR", raising=False)

    assert main([]) == 2
    assert "set OLLM_EVIDENCE_DIR" in capsys.readouterr().err


@pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")
def test_every_recorded_case_agrees_and_the_page_is_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    assert "130 of 130 cases agree" in capsys.readouterr().out

    other = tmp_path / "page.md"
    monkeypatch.setattr(evidence, "PAGE", other)
    monkeypatch.setattr(evidence, "judged", lambda folder: judged(folder)[:3])
    assert main([]) == 1
    assert main(["--write"]) == 0
    assert len(other.read_text()) < len(PAGE.read_text())
