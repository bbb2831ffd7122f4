"""Precision and recall on a small set; `make detectors` prints them on a large one."""

import pytest

from ollm.wire.detect.table import TABLE
from tools.detector_samples import samples
from tools.detectors import FLOOR, main, score


@pytest.mark.parametrize("name", TABLE)
def test_both_floors(name: str) -> None:
    found = score(name, 250, seed=7)
    assert found.precision >= FLOOR, found
    assert found.recall >= FLOOR, found


def test_samples_repeat_and_half_of_them_hold_something() -> None:
    drawn = samples("iban", 50, 1)
    assert drawn == samples("iban", 50, 1)
    assert drawn != samples("iban", 50, 2)
    assert sum(sample.wanted != "" for sample in drawn) == 50
    assert all(sample.wanted in sample.text for sample in drawn)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(20, 3) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in TABLE)
