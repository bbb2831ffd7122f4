"""Reading a request for translation: every member is carried over, left out for a reason that stands in a table, or refused by name.

A table gives each member of an API its rule. Members are named by their place: `temperature` at the top, `tools.strict`,
`messages.content[image].source`. What a reader didn't take and no rule names is refused: it could mean anything.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from ollm.errors import WireError
from ollm.values.secret import Hidden

_NULL = b"null"


class Carried(msgspec.Struct, frozen=True):
    """The member lives on: in a reader's table as `what`, a thing that every writer's table has; in a writer's as the member `what`."""

    what: str
    note: str = ""


class Dropped(msgspec.Struct, frozen=True):
    """Left out; `why` says what makes the request mean the same without it."""

    why: str


class Refused(msgspec.Struct, frozen=True):
    """Refused with `why`, except for the values (as JSON has them) that mean the same as nothing."""

    why: str
    neutral: tuple[object, ...] = ()


Rule: TypeAlias = Carried | Dropped | Refused
Rules: TypeAlias = Mapping[str, Rule]

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_text = msgspec.json.Decoder(str).decode
_texts = msgspec.json.Decoder(list[str]).decode
_flag = msgspec.json.Decoder(bool).decode
_number = msgspec.json.Decoder(float).decode
_KINDS: Mapping[Any, str] = {
    _object: "an object",
    _objects: "a list of objects",
    _text: "a string",
    _texts: "a list of strings",
    _flag: "a boolean",
    _number: "a number",
}


class Fields:
    """Members of one object of a request. Each method takes a member; `end` judges those that nobody took. null is absent."""

    def __init__(self, members: Mapping[str, msgspec.Raw], rules: Rules, place: str = "", at: str = "") -> None:
        self._members = members
        self._rules = rules
        self._taken: set[str] = set()
        self.place = place  # where the rules stand: as `at`, without indices, with the type of a part
        self.at = at  # what errors name

    def __repr__(self) -> str:
        return "<fields>"

    def path(self, name: str) -> str:
        """How an error names the member."""
        return f"{self.at}.{name}" if self.at else name

    def wrong(self, name: str, reason: str) -> WireError:
        """An error about a member."""
        return WireError(f"{name} {reason}", self.path(name))

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return name in self._members and bytes(self._members[name]) != _NULL

    def raw(self, name: str) -> msgspec.Raw | None:
        """The member as its JSON text."""
        self._taken.add(name)
        return self._members[name] if self.has(name) else None

    def text(self, name: str) -> str | None:
        value: str | None = self._read(name, _text)
        return value

    def texts(self, name: str) -> list[str] | None:
        value: list[str] | None = self._read(name, _texts)
        return value

    def flag(self, name: str) -> bool | None:
        value: bool | None = self._read(name, _flag)
        return value

    def number(self, name: str) -> float | None:
        value: float | None = self._read(name, _number)
        return value

    def numeral(self, name: str) -> msgspec.Raw | None:
        """A number as its JSON text, so that it goes on as it was written."""
        self.number(name)
        return self.raw(name)

    def need(self, name: str) -> str:
        """A string that must be there. Raises: WireError."""
        value = self.text(name)
        if value is None:
            raise self.wrong(name, "is required")
        return value

    def object(self, name: str) -> "Fields | None":
        """The members of an object, whose place is the member's name behind this one's."""
        members = self._read(name, _object)
        return None if members is None else Fields(members, self._rules, self._below(name), self.path(name))

    def objects(self, name: str) -> "list[Fields] | None":
        """The members of each object in a list."""
        listed = self._read(name, _objects)
        if listed is None:
            return None
        return [Fields(members, self._rules, self._below(name), f"{self.path(name)}[{index}]") for index, members in enumerate(listed)]

    def kind(self, default: str | None = None) -> str:
        """The member `type`, which then is part of the place. Raises: WireError when it is absent and there is no default."""
        kind = self.text("type") or default
        if kind is None:
            raise self.wrong("type", "is required")
        self.place = f"{self.place}[{kind}]"
        return kind

    def is_text(self, name: str) -> bool:
        """Whether the member is a string."""
        return name in self._members and bytes(self._members[name])[:1] == b'"'

    def refuse(self) -> WireError:
        """This whole object can't be carried over: by the rule of its place, or because it is unknown."""
        rule = self._rules.get(self.place)
        return WireError(rule.why if isinstance(rule, Refused) else "a part of this type can't be translated for the model's provider", self.at)

    def forbid(self, name: str) -> None:
        """Raises: WireError by the member's rule, if it is there; for members without which others would be missed."""
        rule = self._rules[self._below(name)]
        if self.has(name) and isinstance(rule, Refused):
            raise WireError(rule.why, self.path(name))

    def end(self) -> None:
        """Judge the members that nobody took. Raises: WireError for those that may not be left out, with the name if it is a known one."""
        for name in self._members:
            if name in self._taken or not self.has(name):
                continue
            rule = self._rules.get(self._below(name))
            if isinstance(rule, Refused):
                if rule.neutral and msgspec.json.decode(self._members[name]) in rule.neutral:
                    continue
                raise WireError(rule.why, self.path(name))
            if not isinstance(rule, Dropped):
                raise WireError("there is a member that isn't known, and so can't be translated for the model's provider", self.at or None)

    def _below(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def _read(self, name: str, decode: Any) -> Any:
        raw = self.raw(name)
        if raw is None:
            return None
        try:
            return decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self.wrong(name, f"must be {_KINDS[decode]}") from None


def judge(rules: Rules, name: str, at: str) -> str | None:
    """How a writer's API calls `name`, or None where it is left out. Raises: WireError for what the API can't say, by the client's word for it."""
    rule = rules[name]
    if isinstance(rule, Refused):
        raise WireError(rule.why, at)
    return rule.what if isinstance(rule, Carried) else None


class Option(Hidden, frozen=True):
    """One setting of a request, as the writers take it, and how the client named it."""

    value: Any
    at: str
