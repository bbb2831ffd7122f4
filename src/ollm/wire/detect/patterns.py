"""Operators' own patterns, matched by RE2, which is linear in the text whatever the pattern is.

Python's `re` goes back and forth: a short pattern such as `(a+)+$` takes it longer than the universe on a short text, and any client could
send that text. RE2 has no look-around and no back-references, and refuses a pattern whose automaton grows beyond its share of memory. It is
the extra `patterns`: a configuration without patterns does without it.
"""

import re
from collections.abc import Iterator
from typing import Any

from ollm.errors import WireError
from ollm.wire.detect.detector import Span
from ollm.wire.detect.traces import Traces

try:
    import re2
except ImportError:  # the configuration says what to install, where it has a pattern
    re2 = None

# What a pattern begins with in every match: signs that stand for themselves, in texts and in documents; the last may be said to be optional.
_BEGINNING = re.compile(r"(?:\\b)?([A-Za-z0-9_ :@#-]+)(?![?*{+])")
_MEMORY = 2 * 1024 * 1024  # bytes of one pattern's automaton


def available() -> bool:
    """Whether patterns can be matched in this installation."""
    return re2 is not None


class Pattern:
    """A detector of one pattern. In a stream, matches longer than `longest` characters may be found in part only."""

    def __init__(self, pattern: str, longest: int) -> None:
        """Raises: WireError for what RE2 doesn't take, and for a pattern that matches nothing at all as well as something."""
        if re2 is None:
            raise WireError("needs RE2, which is not installed")
        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        try:
            self._pattern: Any = re2.compile(pattern, options)
        except re2.error:
            raise WireError("is no pattern that RE2 takes: look-around, back-references and too large repetitions are refused") from None
        if self._pattern.search("") is not None:
            raise WireError("matches the empty text, which is everywhere")
        self.longest = longest
        beginning = _BEGINNING.match(pattern) if "|" not in pattern else None
        self.traces: Traces | None = None if beginning is None else (re.compile(re.escape(beginning[1])),)

    def find(self, text: str) -> Iterator[Span]:
        """See `Detector`."""
        for found in self._pattern.finditer(text):
            if found.end() > found.start():
                yield Span(found.start(), found.end())

    def open_from(self, text: str) -> int:
        """See `Detector`."""
        return max(0, len(text) - self.longest + 1)
