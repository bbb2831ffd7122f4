"""Precision and recall of the detectors on made-up texts. `python -m tools.detectors [COUNT] [SEED]`; ends 0 only where both floors hold."""

import sys
from typing import NamedTuple

from ollm.wire.detect.table import TABLE
from tools.detector_samples import samples

FLOOR = 0.99
_COUNT = 2000


class Score(NamedTuple):
    """Of one detector: texts with something to find that it found whole, others, and what it found where nothing was."""

    name: str
    found: int
    missed: int
    wrong: int

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.wrong) if self.found + self.wrong else 0.0

    @property
    def recall(self) -> float:
        return self.found / (self.found + self.missed)


def score(name: str, count: int, seed: int) -> Score:
    """How detector `name` does on `count` texts of each kind."""
    found = missed = wrong = 0
    for sample in samples(name, count, seed):
        matches = [sample.text[span.start : span.end] for span in TABLE[name].find(sample.text)]
        hit = sample.wanted != "" and sample.wanted in matches
        found += hit
        missed += sample.wanted != "" and not hit
        wrong += len(matches) - hit
    return Score(name, found, missed, wrong)


def main(count: int = _COUNT, seed: int = 1) -> int:
    """Print the table. 1 where a detector is below a floor."""
    print(f"{count} texts with something to find and {count} without, for each detector; seed {seed}\n")
    print(f"{'detector':30} {'precision':>9} {'recall':>9}   found  missed  wrong")
    scores = [score(name, count, seed) for name in TABLE]
    for each in scores:
        print(f"{each.name:30} {each.precision:9.4f} {each.recall:9.4f}  {each.found:6} {each.missed:7} {each.wrong:6}")
    return int(any(min(each.precision, each.recall) < FLOOR for each in scores))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
