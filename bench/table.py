"""Figures to rows: medians, and ratios paired round by round. Pure."""

import statistics
from collections.abc import Mapping, Sequence

from bench.load import Sample

Rounds = Mapping[str, Sequence[Sample | None]]  # target name → one sample a round; None where it was not measured in that round


def ratio(rounds: Rounds, name: str, base: str) -> float | None:
    """Median over rounds of `name`'s rate over `base`'s in the same round, so that a slow minute of the machine hits both.

    Where `base` was measured in fewer rounds, its median stands in for the rest. None when either has no sample.
    """
    if name not in rounds or base not in rounds:
        return None
    base_rates = [sample.rate for sample in rounds[base] if sample]
    if not base_rates:
        return None
    usual = statistics.median(base_rates)
    quotients = [mine.rate / (other.rate if other else usual) for mine, other in zip(rounds[name], rounds[base], strict=True) if mine]
    return statistics.median(quotients) if quotients else None


def median_of(samples: Sequence[Sample], field: str) -> float | None:
    values = [value for sample in samples if (value := getattr(sample, field)) is not None]
    return statistics.median(values) if values else None


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def rows(rounds: Rounds, *, envoy: str, litellm: str) -> list[tuple[str, ...]]:
    """One row a target, as text, in the order of `rounds`; the header first."""
    out: list[tuple[str, ...]] = [("", "req/s", "p50 ms", "p99 ms", "of Envoy", "x LiteLLM", "CPU µs/req", "core busy", "memory MiB", "requests")]
    for name, all_samples in rounds.items():
        samples = [sample for sample in all_samples if sample]
        if not samples:
            continue
        memory = [sample.memory for sample in samples if sample.memory is not None]
        busy = median_of(samples, "busy")
        out.append(
            (
                name,
                _cell(median_of(samples, "rate"), ",.0f"),
                _cell(median_of(samples, "p50"), ",.2f"),
                _cell(median_of(samples, "p99"), ",.2f"),
                _cell(ratio(rounds, name, envoy), ".3f"),
                _cell(ratio(rounds, name, litellm), ",.1f"),
                _cell(median_of(samples, "cpu"), ",.0f"),
                _cell(busy, ".0%"),
                _cell(max(memory) / 2**20 if memory else None, ",.0f"),
                f"{sum(sample.requests for sample in samples):,}",
            )
        )
    return out


def layout(table: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, figures to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
