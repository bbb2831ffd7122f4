"""Every endpoint counts in one page of usage, so that no request is told twice or left out."""

from collections import Counter

from ollm.admin.reporting import KINDS, UNCOUNTED, Sums
from ollm.values.usage import COUNTS
from ollm.wire.endpoints import NAMES


def test_every_endpoint_counts_once() -> None:
    counted = Counter(name for names in KINDS.values() for name in names)
    assert set(counted) | UNCOUNTED == NAMES
    assert set(counted.values()) == {1}


def test_prompt_and_completion() -> None:
    sums = Sums(start=0, group=(), requests=1, estimated=0, unpriced=0, cost_micro=0, counts={name: 2**at for at, name in enumerate(COUNTS)})
    assert sums.prompt_tokens == 0b111111
    assert sums.completion_tokens == 0b1111000000
