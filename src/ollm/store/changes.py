"""One transaction of an administrator: rows with their MACs, and beside each change its event in the audit log.

Everything here runs with the database's lock for writing, on a thread; what raises leaves nothing behind. Rows that aren't authentic are
absent: they can be neither read nor changed.
"""

import base64
import os
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from ollm.store.audit import append
from ollm.store.database import take_turn
from ollm.store.subjects import TABLES, Subject, authenticated, columns_of, is_authentic, subject_of
from ollm.values.audit import AuditEvent
from ollm.values.identity import Membership
from ollm.values.terms import Terms

_RANDOM_BYTES = 10  # 16 characters in base32
_UNTOLD = frozenset({"mac", "row_mac", "created_at"})  # fields that no event repeats: secrets, and what the event says itself
Prefix = Literal["org", "proj", "svc", "user"]


class View:
    """Authentic rows as of one transaction. `rejected` names the others that were met."""

    def __init__(self, connection: Connection, row_key: bytes) -> None:
        self.connection = connection
        self._row_key = row_key
        self.rejected: list[str] = []

    def one(self, kind: type[Subject], *identity: str) -> Subject | None:
        """The row with this id (of a membership: project and person); None when it isn't there or isn't authentic."""
        table = TABLES[kind]
        keys = [column == value for column, value in zip(table.primary_key.columns, identity, strict=True)]
        found = self._read(kind, *keys)
        return found[0] if found else None

    def all(self, kind: type[Subject], **equal: str) -> list[Subject]:
        """Rows whose columns `equal` these values, oldest first."""
        table = TABLES[kind]
        found = self._read(kind, *(table.c[name] == value for name, value in equal.items()))
        return sorted(found, key=lambda subject: (subject.created_at, identity_of(subject)))

    def _read(self, kind: type[Subject], *where: ColumnElement[bool]) -> list[Subject]:
        table = TABLES[kind]
        rows = self.connection.execute(select(*(table.c[name] for name in kind.__struct_fields__)).where(*where))
        authentic = []
        for row in rows:
            subject = subject_of(kind, tuple(row))
            if is_authentic(subject, self._row_key):
                authentic.append(subject)
            else:
                self.rejected.append(str(row[0]))
        return authentic


class Changes(View):
    """As `View`, and writes. `actor` did it, at `now` (Unix seconds)."""

    def __init__(self, connection: Connection, row_key: bytes, actor: str, now: int) -> None:
        super().__init__(connection, row_key)
        take_turn(connection, "audit")  # the log has one end
        self._actor = actor
        self.now = now
        self.made: list[AuditEvent] = []

    def mint(self, prefix: Prefix) -> str:
        """A new id: `prefix`, an underscore and 16 characters."""
        return f"{prefix}_{base64.b32encode(os.urandom(_RANDOM_BYTES)).decode().lower()}"

    def signed(self, subject: Subject) -> Subject:
        """`subject` with the MAC of this installation."""
        return authenticated(subject, self._row_key)

    @property
    def row_key(self) -> bytes:
        """What rows are authenticated under; for what makes rows of its own."""
        return self._row_key

    def add(self, subject: Subject, action: str) -> Subject:
        """A new row. Raises: StoreError when a column can't hold its value."""
        subject = self.signed(subject)
        self.tell(action, subject, _told(subject))
        self.connection.execute(insert(TABLES[type(subject)]).values(columns_of(subject)))
        return subject

    def put(self, old: Subject, new: Subject, action: str) -> Subject:
        """`new` in the place of `old`, which has the same id; nothing happens when they are equal."""
        changed = {name: value for name, value in _told(new).items() if getattr(old, name) != getattr(new, name)}
        cleared = {name: None for name in new.__struct_fields__ if getattr(new, name) is None and getattr(old, name) is not None}
        if not changed and not cleared:
            return old
        new = self.signed(new)
        self.tell(action, new, {**changed, **cleared})
        self.connection.execute(update(TABLES[type(new)]).where(*_identity(new)).values(columns_of(new)))
        return new

    def remove(self, membership: Membership, action: str) -> None:
        """Take a person out of a project: the one kind of row that nothing refers to."""
        self.connection.execute(delete(TABLES[Membership]).where(*_identity(membership)))
        self.tell(action, membership, {"role": str(membership.role)})

    def tell(self, action: str, subject: Any, changes: dict[str, Any]) -> None:
        """Write the event of a change of `subject`."""
        event = AuditEvent(
            entry=0,
            at=self.now,
            actor=self._actor,
            action=action,
            target=target_of(subject),
            project=getattr(subject, "project_id", None),
            changes=changes,
        )
        append(self.connection, event, self._row_key)
        self.made.append(event)


def local_actor() -> str:
    """Who changes the store without the admin API, as the audit log names them."""
    return f"local_{os.getuid()}"


def identity_of(subject: Any) -> tuple[str, ...]:
    """The columns that name the row, as values."""
    return tuple(getattr(subject, column.name) for column in TABLES[type(subject)].primary_key.columns)


def target_of(subject: Any) -> str:
    """What an event names: a row's id; of a membership, the person's."""
    return identity_of(subject)[-1]


def _identity(subject: Any) -> list[ColumnElement[bool]]:
    return [column == getattr(subject, column.name) for column in TABLES[type(subject)].primary_key.columns]


def _told(subject: Any) -> dict[str, Any]:
    """Field → value as an event tells it; ids are its target, and what is absent is left out."""
    keys = {column.name for column in TABLES[type(subject)].primary_key.columns}
    fields = {name: getattr(subject, name) for name in subject.__struct_fields__ if name not in _UNTOLD | keys}
    return {name: plain(value) for name, value in fields.items() if value is not None}


def plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, Terms):
        return msgspec.to_builtins(value)
    return str(value) if isinstance(value, str) else value
