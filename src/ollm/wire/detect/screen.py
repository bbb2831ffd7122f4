"""Rules about texts, put together for one side of an exchange: what blocks a text, and what is masked in it.

All rules look at the same text, as it came. Where matches of masking rules overlap, one mask covers them all: that of the match that begins
first, of the earlier rule where two begin together.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ollm.errors import RuleBlocked
from ollm.values.rules import PromptRule, Side
from ollm.wire.detect.detector import Detector, all_of
from ollm.wire.detect.patterns import Pattern
from ollm.wire.detect.table import TABLE
from ollm.wire.detect.traces import leaves_none

_SHORTEST = 6  # characters: no detector of ours has a shorter match


class ActiveRule(NamedTuple):
    """One rule, ready to look. `name` is TABLE/NAME."""

    name: str
    detector: Detector
    mask: str | None  # None: it blocks


class Hit(NamedTuple):
    """Where a rule matched, in characters of a text."""

    start: int
    end: int
    rule: ActiveRule


class Screen:
    """`rules` in their order. Holds no text."""

    def __init__(self, rules: Sequence[ActiveRule]) -> None:
        self.rules = tuple(rules)
        self._shortest = 1 if any(isinstance(rule.detector, Pattern) for rule in rules) else _SHORTEST
        self._traces = all_of(rule.detector for rule in rules)

    def passes(self, document: bytes) -> bool:
        """Whether no rule can match in any text of `document`, JSON, by its bytes alone. False says nothing."""
        return (len(document) < self._shortest and document.isascii()) or (self._traces is not None and leaves_none(document, self._traces))

    def hits(self, text: str) -> list[Hit]:
        """All matches in `text` by where they begin, those of one place in the rules' order."""
        if len(text) < self._shortest:
            return []
        found = [(span.start, order, span.end) for order, rule in enumerate(self.rules) for span in rule.detector.find(text)]
        return [Hit(start, end, self.rules[order]) for start, order, end in sorted(found)]

    def covers(self, text: str) -> list[Hit]:
        """What is to be masked in `text`: matches that overlap as one. Raises: RuleBlocked."""
        return merged(self.hits(text), len(text))

    def masked(self, text: str, acted: set[str]) -> str:
        """`text` as it may go on; names of the rules that masked something go into `acted`. Raises: RuleBlocked."""
        covers = self.covers(text)
        if not covers:
            return text
        return written(text, covers, acted)

    def refuse(self, text: str) -> None:
        """For texts that can't be rewritten, such as the names of members. Raises: RuleBlocked, for what is masked elsewhere as well."""
        hits = self.hits(text)
        if hits:
            raise RuleBlocked(hits[0].rule.name)

    def open_from(self, text: str) -> int:
        """Where the earliest match might begin that later text could complete, lengthen or undo."""
        return min(rule.detector.open_from(text) for rule in self.rules)


def merged(hits: Sequence[Hit], limit: int) -> list[Hit]:
    """`hits` as covers. Those that end beyond `limit` aren't sure yet. Raises: RuleBlocked for a sure one of a rule that blocks."""
    covers: list[Hit] = []
    for hit in hits:
        if hit.rule.mask is None and hit.end <= limit:
            raise RuleBlocked(hit.rule.name)
        if covers and hit.start < covers[-1].end:
            covers[-1] = covers[-1]._replace(end=max(covers[-1].end, hit.end))
        else:
            covers.append(hit)
    return covers


def written(text: str, covers: Sequence[Hit], acted: set[str], start: int = 0, end: int | None = None) -> str:
    """`text` from `start` to `end`, with a mask over each of `covers`, which lie within."""
    pieces: list[str] = []
    at = start
    for cover in covers:
        pieces += (text[at : cover.start], cover.rule.mask or "")
        acted.add(cover.rule.name)
        at = cover.end
    pieces.append(text[at:end])
    return "".join(pieces)


def active(table: str, rule: PromptRule) -> ActiveRule:
    """`rule` of [rules.`table`], ready to look. Raises: WireError for a pattern that RE2 doesn't take."""
    detector = Pattern(rule.pattern or "", rule.longest) if rule.detect == "pattern" else TABLE[rule.detect]
    return ActiveRule(f"{table}/{rule.name}", detector, rule.mask if rule.action == "mask" else None)


def screen_of(rules: Sequence[tuple[str, PromptRule]], side: Side) -> Screen | None:
    """What looks at texts on `side`, for rules with the names of their tables; None where no rule does. Raises: WireError."""
    found = [active(table, rule) for table, rule in rules if side in rule.on]
    return Screen(found) if found else None
