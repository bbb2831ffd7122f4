"""Ratios are paired round by round, and a table says '-' where nothing was measured."""

import pytest

from bench.load import Sample
from bench.table import Rounds, layout, ratio, rows


def at(rate: float) -> Sample:
    return Sample(rate=rate, p50=1.0, p99=2.0, cpu=100.0, busy=0.5, memory=64 * 2**20, requests=10)


def test_a_slow_round_hits_both_and_leaves_the_ratio_alone() -> None:
    found: Rounds = {"envoy": [at(1000), at(100), at(1000)], "ours": [at(400), at(40), at(400)]}
    assert ratio(found, "ours", "envoy") == pytest.approx(0.4)


def test_a_base_measured_in_fewer_rounds_stands_in_with_its_median() -> None:
    found: Rounds = {"slow": [at(10), at(30), None, None], "ours": [at(1000), at(3000), at(2000), at(2000)]}
    assert ratio(found, "ours", "slow") == pytest.approx(100)


def test_no_figure_without_samples() -> None:
    found: Rounds = {"ours": [at(1)], "slow": [None]}
    assert ratio(found, "ours", "slow") is None
    assert ratio(found, "slow", "ours") is None
    assert ratio(found, "ours", "absent") is None


def test_rows_hold_medians_and_leave_out_what_was_never_measured() -> None:
    found: Rounds = {"envoy": [at(1000), at(1200), at(1100)], "litellm": [None, None, None], "ours": [at(500), at(600), at(550)]}
    header, envoy, ours = rows(found, envoy="envoy", litellm="litellm")
    assert header[1] == "req/s"
    assert envoy[:2] == ("envoy", "1,100")
    assert ours == ("ours", "550", "1.00", "2.00", "0.500", "-", "100", "50%", "64", "30")


def test_columns_line_up() -> None:
    assert layout([("", "req/s"), ("a long name", "1"), ("b", "12,000")]) == "              req/s\na long name       1\nb            12,000"
