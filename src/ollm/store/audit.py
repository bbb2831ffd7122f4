"""The audit log in the database: appended to within the transaction of the change that it tells of, read in pages.

Rows are never changed (triggers refuse it). Their chain is checked by `receipts.audit.Chain`, here as in an exported file.
"""

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, insert, or_, select

from ollm.errors import ChangeRefused, EvidenceRefused
from ollm.receipts.audit import Head, Logged, logged
from ollm.store.schema import MAX_TERMS, audit, installation
from ollm.values.audit import AuditEvent, chain_start
from ollm.values.hexes import Hex32
from ollm.values.jcs import canonical

PAGE = 500  # events in memory at once
# No column but names of subjects takes a space, lest one could hold a sentence. Brackets stand in no name, so this is none either.
_SPACE = "[_]"


class _Detail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The column `detail`."""

    changes: dict[str, object]
    project: str | None


_detail = msgspec.json.Decoder(_Detail).decode


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to read. Empty: all."""

    after: int | None = None  # beyond this event, in the direction of reading
    newest_first: bool = False
    actions: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    since: int | None = None  # Unix seconds, inclusive
    until: int | None = None  # exclusive


ALL = EventFilter()


def append(connection: Connection, event: AuditEvent, row_key: bytes) -> None:
    """Write `event` behind the last one, whatever its `entry` says; `connection` holds the lock for writing.

    Raises: ChangeRefused when it is larger than the log takes.
    """
    detail = canonical({"changes": event.changes, "project": event.project}).decode().replace(" ", _SPACE)
    if len(detail) > MAX_TERMS:
        raise ChangeRefused(f"the change has more than {MAX_TERMS} characters", "leave names out of the terms, or split them over projects")
    before = head(connection)
    entry = logged(msgspec.structs.replace(event, entry=before.entry + 1), before.digest, row_key)
    event = entry.event
    connection.execute(
        insert(audit).values(
            entry=event.entry,
            at=event.at,
            actor=event.actor,
            action=event.action,
            target=event.target,
            detail=detail,
            digest=bytes.fromhex(entry.digest),
            row_mac=entry.mac,
        )
    )


def head(connection: Connection) -> Head:
    """The last event's number and digest; of an empty log, the start of its chain."""
    found = connection.execute(select(audit.c.entry, audit.c.digest).order_by(audit.c.entry.desc()).limit(1)).one_or_none()
    if found is not None:
        return Head(int(found.entry), Hex32(found.digest.hex()))
    return Head(0, chain_start(installation_id(connection)))


def installation_id(connection: Connection) -> str:
    """The id of this database's installation."""
    return str(connection.execute(select(installation.c.installation_id)).scalar_one())


def events(connection: Connection, wanted: EventFilter = ALL, limit: int = PAGE) -> list[Logged]:
    """At most `limit` events, as they stand in the table: nothing is verified here. Raises: EvidenceRefused for a row that is no event."""
    query = select(audit)
    order = audit.c.entry.desc() if wanted.newest_first else audit.c.entry.asc()
    if wanted.after is not None:
        query = query.where(audit.c.entry < wanted.after if wanted.newest_first else audit.c.entry > wanted.after)
    for column, values in ((audit.c.action, wanted.actions), (audit.c.actor, wanted.actors), (audit.c.target, wanted.targets)):
        if values:
            query = query.where(column.in_(values))
    if wanted.projects:
        # The project stands in the detail, which is canonical JSON: there is one way in which it can end.
        query = query.where(or_(*(audit.c.detail.endswith(f',"project":"{project}"}}', autoescape=True) for project in wanted.projects)))
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(audit.c.at < wanted.until)
    return [_logged(row._mapping) for row in connection.execute(query.order_by(order).limit(limit))]


def all_events(connection: Connection) -> Iterator[Logged]:
    """Every event, oldest first, a page in memory at a time. Raises: EvidenceRefused for a row that is no event."""
    after = None
    while page := events(connection, EventFilter(after=after)):
        yield from page
        after = page[-1].event.entry


def _logged(row: msgspec.Struct | object) -> Logged:
    values = dict(row)  # type: ignore[call-overload]
    try:
        detail = _detail(values["detail"].replace(_SPACE, " "))
    except msgspec.DecodeError:
        raise EvidenceRefused("audit.format", f"event {values['entry']}: no changes that can be read", "a row of the audit log") from None
    event = AuditEvent(
        entry=values["entry"],
        at=values["at"],
        actor=values["actor"],
        action=values["action"],
        target=values["target"],
        project=detail.project,
        changes=detail.changes,
    )
    return Logged(event, Hex32(values["digest"].hex()), values["row_mac"])
