"""The figures of roll-ups and reports: one list, over entries and over sums of them."""

import msgspec

from ollm.store.reports import Sums
from ollm.store.schema import rollups
from ollm.store.sums import FIGURES, LABELS, added, figures, labels


def test_figures_and_labels_are_the_columns_of_the_roll_ups() -> None:
    assert list(figures()) == list(FIGURES)
    assert set(labels()) == set(LABELS)
    assert {column.name for column in rollups.columns} == {"width", "start", *LABELS, *FIGURES}
    assert set(added(rollups.c)) == set(FIGURES)


def test_reports_tell_each_of_them() -> None:
    assert {field.name for field in msgspec.structs.fields(Sums)} == {"start", *LABELS, *FIGURES}
