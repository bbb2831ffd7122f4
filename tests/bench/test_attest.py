"""The benchmark of verification: what is measured accepts, what was remembered is forgotten, and a line says how it stands to its goal."""

import warnings
from functools import lru_cache

import pytest

from bench import attest
from bench.attest import Figures, forget, measure, row
from bench.bare import Bare
from bench.evidence import Case, minted
from ollm.attest import strict_json

BARE = Bare((), (lambda: None, lambda: None))


def figures(median: float) -> Figures:
    return Figures(first=3.0, median=median, p95=2 * median, bare=1.5, runs=1234)


def test_a_line_says_whether_the_goal_is_met() -> None:
    case = Case("TDX quote", [], BARE, goal_ms=2)
    assert row(case, figures(1.0)) == (*("TDX quote", "1.00", "2.00", "3.00", "1.50", "2.00", "2", "met", "1,234", "2 signatures, 0 certificates"),)
    assert row(case, figures(2.5))[7] == "OVER THE GOAL"
    assert row(Case("no goal", [], BARE), figures(9.0))[6:8] == ("-", "")


def test_each_piece_is_verified_in_turn_and_the_bare_work_beside_the_first() -> None:
    calls: list[str] = []
    bare = Bare((), (lambda: calls.append("bare"),))
    case = Case("x", [lambda: calls.append("a"), lambda: calls.append("b")], bare)

    found = measure(case, 0)

    assert found.runs == 2 * attest.LEAST_RUNS
    assert calls[:7] == ["a", "a", "bare", "b", "bare", "a", "bare"]
    assert calls[-2:] == ["a", "b"]


def test_what_attest_remembers_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    remembering = lru_cache(lambda value: value)
    monkeypatch.setattr(strict_json, "remembering", remembering, raising=False)
    remembering(1)

    forget()

    assert remembering.cache_info().currsize == 0


def test_all_minted_evidence_is_accepted_and_its_bare_cryptography_holds() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in minted():
            for verify in case.verify[:2]:
                verify()
            case.bare()


def test_the_whole_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OLLM_EVIDENCE_DIR", raising=False)
    monkeypatch.setattr(attest, "minted", lambda: [Case("nothing", [lambda: None], BARE, 1)])
    monkeypatch.setattr("warnings.simplefilter", lambda *_: None)  # would outlast this test

    assert attest.main(["--seconds", "0"]) == 0

    told = capsys.readouterr().out
    assert "first ÷ bare" in told
    assert "nothing" in told
