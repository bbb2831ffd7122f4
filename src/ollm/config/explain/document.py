"""The whole explanation of a policy: what it accepts, what it leaves open (worst first), what no policy reaches; as text or JSON."""

import datetime
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ollm.config.explain.machine import MACHINE, outside
from ollm.config.explain.points import Context, Said, Severity, told
from ollm.values.policy import AttestationPolicy

_WIDTH = 120
_HEADINGS = {
    Severity.NOTHING: "It accepts nothing, because",
    Severity.EXPOSES: "Left open, and lets the host or whoever runs the machine read prompts",
    Severity.WEAKENS: "Left open, and helps a known attack or hides a rollback",
    Severity.NOTE: "Left open, to know",
}


class Explanation(msgspec.Struct, frozen=True):
    """Everything that is to be said of a policy."""

    policy: AttestationPolicy
    said: tuple[Said, ...]
    outside: tuple[str, ...]

    def of(self, severity: Severity | None) -> tuple[str, ...]:
        """Sentences of one severity; None: what holds of an accepted machine."""
        return _joined(said for said in self.said if said.severity is severity)

    def document(self) -> dict[str, Any]:
        """The explanation for programs."""
        return {
            "policy": self.policy.name,
            "level": str(self.policy.level),
            "accepts": [_entry(said) for said in self.said if said.severity is None],
            "open": [{"severity": severity.name.lower(), **_entry(said)} for severity in Severity for said in self.said if said.severity is severity],
            "outside": list(self.outside),
        }

    def lines(self) -> Iterator[str]:
        """The explanation for people, wrapped."""
        yield f'Policy "{self.policy.name}" accepts a machine when all of this holds:'
        yield from _listed(self.of(None))
        for severity, heading in _HEADINGS.items():
            sentences = self.of(severity)
            if sentences:
                yield ""
                yield f"{heading}:"
                yield from _listed(sentences)
        yield ""
        yield "Outside what any policy can reach:"
        yield from _listed(self.outside)


def explain(policy: AttestationPolicy, today: datetime.date) -> Explanation:
    """Explain `policy` as it stands on the day `today` (UTC), on which periods of grace may have ended."""
    return Explanation(policy, tuple(told(MACHINE, policy, Context(policy, today))), tuple(outside(policy)))


def _joined(sentences: Iterable[Said]) -> tuple[str, ...]:
    """Texts, each once: what is said of several sets of reference values names them all."""
    sets: dict[str, list[str]] = {}
    for said in sentences:
        names = sets.setdefault(said.text, [])
        if said.of and said.of not in names:
            names.append(said.of)
    return tuple(f"{', '.join(names)}: {text}" if names else text for text, names in sets.items())


def _entry(said: Said) -> dict[str, str]:
    return {"field": said.field, "text": said.text, **({"of": said.of} if said.of else {})}


def _listed(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        yield from textwrap.wrap(sentence, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
