"""What a sentence about a policy is made of, and the few ways in which a field turns into one.

A table maps each field of a struct to a `Sentence`: from the field's value and the whole policy to one or more `Said`. What holds of an
accepted machine has no severity; what is left open has one, and the worst come first.
"""

import datetime
import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from ollm.values.policy import AttestationPolicy


class Severity(enum.IntEnum):
    """How bad an open point is, in order of the telling."""

    NOTHING = 0  # the policy can't accept anything: a mistake, and a safe one
    EXPOSES = 1  # lets the host, or whoever runs the machine, read prompts
    WEAKENS = 2  # makes a known attack possible or a rollback unseen
    NOTE = 3  # to know


class Said(msgspec.Struct, frozen=True):
    """A sentence; `severity` None: it holds of every accepted machine. `of` names the set of reference values that it is about."""

    text: str
    severity: Severity | None = None
    of: str = ""
    field: str = ""  # of the policy: tdx.reference_values.rtmr0


class Context(msgspec.Struct, frozen=True):
    """What a sentence may depend on beyond its own field."""

    policy: AttestationPolicy
    today: datetime.date  # UTC


Sentence: TypeAlias = Callable[[Any, Context], Iterable[Said]]
Table: TypeAlias = dict[str, Sentence]


def holds(text: str) -> Said:
    return Said(text)


def exposes(text: str) -> Said:
    return Said(text, Severity.EXPOSES)


def weakens(text: str) -> Said:
    return Said(text, Severity.WEAKENS)


def note(text: str) -> Said:
    return Said(text, Severity.NOTE)


def nothing(text: str) -> Said:
    return Said(text, Severity.NOTHING)


def flag(*, true: Said, false: Said) -> Sentence:
    """A sentence about a switch."""
    return lambda value, context: (true if value else false,)


def given(*, absent: Said, present: Said, empty: Said | None = None) -> Sentence:
    """A sentence about an optional value, a number whose 0 means nothing, or a list; `{}` in `present` stands for the value.

    `empty`: what an empty list says where that differs from an absent one.
    """

    def sentence(value: Any, context: Context) -> Iterable[Said]:
        if empty is not None and value == ():
            return (empty,)
        if value is None or value == 0 or value == ():
            return (absent,)
        return (msgspec.structs.replace(present, text=present.text.replace("{}", shown(value))),)

    return sentence


def only(*, absent: str, empty: str, present: str, cut: int | None = None) -> Sentence:
    """A sentence about the only ones that are accepted. In `present` the first `{}` is their number; names are `cut` to so many characters."""

    def sentence(names: tuple[str, ...] | None, context: Context) -> Iterable[Said]:
        if names is None:
            return (weakens(absent),)
        if not names:
            return (nothing(empty),)
        return (holds(f"{present.format(len(names))}: {shown(names if cut is None else tuple(f'{name[:cut]}…' for name in names))}"),)

    return sentence


def register(name: str, measures: str, *, absent: Callable[[str], Said]) -> Sentence:
    """A sentence about a measurement that a set of reference values pins, or leaves open in the way that `absent` says."""

    def sentence(value: str | None, context: Context) -> Iterable[Said]:
        if value is None:
            return (absent(f"{name} is not compared. It measures {measures}"),)
        return (holds(f"{name} is {value[:16]}…: {measures}"),)

    return sentence


def told(table: Table, value: msgspec.Struct, context: Context) -> Iterator[Said]:
    """What `table` says of `value`, each sentence with its field."""
    for field, sentence in table.items():
        for said in sentence(getattr(value, field), context):
            yield msgspec.structs.replace(said, field=f"{field}.{said.field}" if said.field else field)


def sets(table: Table, label: Callable[[Any], str]) -> Sentence:
    """A sentence about a list of sets of reference values: all that `table` says about each of them."""

    def sentence(values: Sequence[msgspec.Struct], context: Context) -> Iterable[Said]:
        if not values and vouched(context.policy):
            yield note("it lists no reference values itself: those that a build or key of its provenance vouches for are the only ones")
        elif not values:
            yield nothing("it lists no reference values")
        for each in values:
            for said in told(table, each, context):
                yield msgspec.structs.replace(said, of=label(each))

    return sentence


def vouched(policy: AttestationPolicy) -> bool:
    """Whether others than the policy itself can name accepted measurements."""
    return policy.provenance is not None and bool(policy.provenance.builds or policy.provenance.signers)


def shown(value: Any) -> str:
    """A value inside a sentence; of many, the first four."""
    if isinstance(value, tuple):
        texts = [str(each) for each in value]
        return ", ".join(texts) if len(texts) <= 4 else f"{', '.join(texts[:4])} and {len(texts) - 4} more"
    return str(value)


def span(seconds: int) -> str:
    """Seconds as people say them: the largest unit that divides them."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds % size == 0 and seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
