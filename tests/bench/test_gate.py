"""The gate is met only where every ratio is, and never for want of figures."""

from bench.gate import judge
from bench.load import Sample
from bench.table import Rounds

NAMES = {"envoy": "Envoy", "litellm": "LiteLLM", "full": "full", "process": "process"}


def at(rate: float) -> list[Sample | None]:
    return [Sample(rate=rate, p50=1.0, p99=2.0, cpu=None, busy=None, memory=None, requests=1)] * 3


def test_all_demands_met() -> None:
    found = {"Envoy": at(10_000), "LiteLLM": at(30), "full": at(3_100), "process": at(4_100)}
    assert [met for _, met in judge(found, NAMES)] == [True, True, True]


def test_each_demand_fails_alone() -> None:
    slow_full = {"Envoy": at(10_000), "LiteLLM": at(20), "full": at(2_900), "process": at(4_100)}
    assert [met for _, met in judge(slow_full, NAMES)] == [False, True, True]
    slow_process = {"Envoy": at(10_000), "LiteLLM": at(30), "full": at(3_100), "process": at(3_900)}
    assert [met for _, met in judge(slow_process, NAMES)] == [True, False, True]
    quick_litellm = {"Envoy": at(10_000), "LiteLLM": at(32), "full": at(3_100), "process": at(4_100)}
    assert [met for _, met in judge(quick_litellm, NAMES)] == [True, True, False]


def test_a_missing_peer_is_a_missed_demand() -> None:
    found: Rounds = {"Envoy": at(10_000), "LiteLLM": [None], "full": at(3_100), "process": at(4_100)}
    line, met = judge(found, NAMES)[2]
    assert not met
    assert "not measured" in line
