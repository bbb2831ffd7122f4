"""What a detector is: candidates by a regular expression, and a check that says which of them are real.

Texts come whole or in windows of a stream (`windows`). Of a window's end a detector says from where on a match might begin that later text
could complete, lengthen or undo. So what is found doesn't depend on where a stream was cut.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from ollm.wire.detect.traces import Traces

CONTEXT = 48  # characters before a candidate that its check may look at
_RUN = 80  # characters that a candidate may have before its gate


class Span(NamedTuple):
    """A match: from `start` up to `end`, in characters."""

    start: int
    end: int


class Detector(Protocol):
    """`longest`: characters of the longest text that it looks at, or of a stream that is held back for it. `traces`: of each match, one is in
    the document around its text; None where there are none to look for."""

    @property
    def longest(self) -> int: ...

    @property
    def traces(self) -> Traces | None: ...

    def find(self, text: str) -> Iterator[Span]:
        """Matches in `text`, from left to right, none over another."""

    def open_from(self, text: str) -> int:
        """Where the earliest match might begin that what follows `text` could complete, lengthen or undo; its length where none might."""


class Checked:
    """A detector of candidates that `accepts` decides about.

    `gate` finds places where a candidate may be: it begins with a character that is rare, or with fixed ones, since those are looked for many
    times faster than anything else. The candidate begins `back` characters before such a place (a number), or where the run of those characters
    begins that `back` lists (a text). `candidate` has the match in its group 1. `tail` matches, at the end of a text alone, what
    could become a candidate. `accepts` is given the match and the text before it. `trace` is what every candidate leaves (`traces`).
    """

    def __init__(
        self,
        gate: str,
        candidate: str,
        tail: str,
        longest: int,
        accepts: Callable[[str, str], bool] | None = None,
        *,
        back: int | str = 0,
        trace: str | None = None,
    ) -> None:
        self._gate = re.compile(gate)
        self._candidate = re.compile(candidate)
        self._tail = re.compile(rf"(?:{tail})\Z")
        self.longest = longest
        self._accepts = accepts
        self._offset = back if isinstance(back, int) else 0
        self._run = back if isinstance(back, str) else ""
        self._trace = trace

    @property
    def traces(self) -> Traces | None:
        """See `Detector`. Compiled for rules that have it, not for all at each start."""
        return None if self._trace is None else (re.compile(self._trace),)

    def find(self, text: str) -> Iterator[Span]:
        """See `Detector`."""
        at = 0
        for hit in self._gate.finditer(text):
            start = hit.start() - self._offset
            if self._run:
                before = text[max(at, start - _RUN) : start]
                start -= len(before) - len(before.rstrip(self._run))
            if start < at or (found := self._candidate.match(text, start)) is None:
                continue
            start, end = found.span(1)
            if self._accepts is None or self._accepts(found[1], text[max(0, start - CONTEXT) : start]):
                yield Span(start, end)
                at = end

    def open_from(self, text: str) -> int:
        """See `Detector`."""
        since = max(0, len(text) - self.longest)
        found = self._tail.search(text, since)
        return found.start() if found is not None else len(text)


def all_of(detectors: Iterable[Detector]) -> Traces | None:
    """The traces of `detectors`, each once; None where one has none."""
    found: dict[re.Pattern[str], None] = {}
    for detector in detectors:
        if (traces := detector.traces) is None:
            return None
        found.update(dict.fromkeys(traces))
    return tuple(found)


class AnyOf:
    """Several detectors as one; where two matches overlap, the one that begins first counts, then the longer."""

    def __init__(self, *parts: Detector) -> None:
        self._parts = parts
        self.longest = max(part.longest for part in parts)

    @property
    def traces(self) -> Traces | None:
        """See `Detector`."""
        return all_of(self._parts)

    def find(self, text: str) -> Iterator[Span]:
        """See `Detector`."""
        spans = sorted({span for part in self._parts for span in part.find(text)}, key=lambda span: (span.start, -span.end))
        at = 0
        for span in spans:
            if span.start >= at:
                yield span
                at = span.end

    def open_from(self, text: str) -> int:
        """See `Detector`."""
        return min(part.open_from(text) for part in self._parts)
