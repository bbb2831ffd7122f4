"""The audit log in the database: chained as it is written, and never changed."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ollm.errors import ChangeRefused, EvidenceRefused
from ollm.receipts.audit import Chain
from ollm.store import audit
from ollm.store.audit import EventFilter
from ollm.store.changes import Changes
from ollm.store.identity import create_project, rename_project
from ollm.store.sqlite import Store
from ollm.values.terms import Terms
from tests.store.making import ROW_KEY, raw

NOW = 1_700_000_000


@pytest.fixture
async def filled(store: Store) -> Store:
    """Three projects, each renamed: six events."""
    for number, name in enumerate("ABC"):

        def work(changes: Changes, name: str = name) -> None:
            made = create_project(changes, name)
            rename_project(changes, made.project_id, name * 2)

        await store.administration.write(f"local_{number}", NOW + number, work)
    return store


async def verify(store: Store) -> int:
    chain = Chain(store.installation_id, ROW_KEY)
    async for entry in store.administration.log():
        chain.take(entry)
    return chain.end().entry


async def test_what_is_written_verifies(filled: Store) -> None:
    assert await verify(filled) == 6


async def test_pages_are_read_to_the_end(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 2)
    assert await verify(filled) == 6
    assert await filled.administration.read(lambda view: [each.event.entry for each in audit.all_events(view.connection)]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        (EventFilter(), [1, 2, 3, 4, 5, 6]),
        (EventFilter(newest_first=True), [6, 5, 4, 3, 2, 1]),
        (EventFilter(after=4), [5, 6]),
        (EventFilter(after=4, newest_first=True), [3, 2, 1]),
        (EventFilter(actions=("project.created",)), [1, 3, 5]),
        (EventFilter(actors=("local_0", "local_2")), [1, 2, 5, 6]),
        (EventFilter(since=NOW + 1), [3, 4, 5, 6]),
        (EventFilter(until=NOW + 1), [1, 2]),
        (EventFilter(since=NOW + 1, until=NOW + 2, actions=("project.updated",)), [4]),
    ],
)
async def test_filters(filled: Store, wanted: EventFilter, entries: list[int]) -> None:
    assert [each.event.entry for each in await filled.administration.events(wanted, 10)] == entries


async def test_targets_are_ids(filled: Store) -> None:
    (first, *_) = await filled.administration.events(EventFilter(), 1)
    found = await filled.administration.events(EventFilter(targets=(first.event.target,)), 10)
    assert [each.event.entry for each in found] == [1, 2]


async def test_names_with_spaces_come_back_as_they_were(store: Store, tmp_path: Path) -> None:
    await store.administration.write("local_0", NOW, lambda changes: create_project(changes, "Pay roll of May"))
    (entry,) = await store.administration.events(EventFilter(), 1)
    assert entry.event.changes["name"] == "Pay roll of May"
    with raw(tmp_path) as database:
        assert " " not in database.execute("SELECT detail FROM audit").fetchone()[0]
    assert await verify(store) == 1


async def test_projects_are_told_apart(filled: Store) -> None:
    (first, *_) = await filled.administration.events(EventFilter(), 1)
    assert first.event.project is not None
    found = await filled.administration.events(EventFilter(projects=(first.event.project,)), 10)
    assert [each.event.entry for each in found] == [1, 2]
    assert await filled.administration.events(EventFilter(projects=("%", "proj_")), 10) == []


async def test_a_change_that_the_log_can_not_hold(store: Store) -> None:
    large = Terms(models=tuple(f"model-{number:060}" for number in range(300)))
    with pytest.raises(ChangeRefused, match="more than 16384 characters"):
        await store.administration.write("local_0", NOW, lambda changes: create_project(changes, "A", large))
    assert (await store.administration.head()).entry == 0


@pytest.mark.parametrize("statement", ["UPDATE audit SET at = 1", "DELETE FROM audit"])
async def test_rows_are_never_changed(filled: Store, tmp_path: Path, statement: str) -> None:
    with raw(tmp_path) as database, pytest.raises(sqlite3.IntegrityError, match="never changed"):
        database.execute(statement)


def without_triggers(database: sqlite3.Connection) -> None:
    """As somebody who can write the file and has no scruples."""
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'").fetchall():
        database.execute(f"DROP TRIGGER {name}")


def renumbered(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE entry = 3")
    for entry in (4, 5, 6):
        database.execute("UPDATE audit SET entry = ? WHERE entry = ?", (entry - 1, entry))


def swapped(database: sqlite3.Connection) -> None:
    for old, new in ((3, 99), (4, 3), (99, 4)):
        database.execute("UPDATE audit SET entry = ? WHERE entry = ?", (new, old))


@pytest.mark.parametrize(
    ("tampering", "step"),
    [
        (lambda database: database.execute("UPDATE audit SET actor = 'local_9' WHERE entry = 3"), "audit.digest"),
        (lambda database: database.execute("UPDATE audit SET at = at + 1 WHERE entry = 3"), "audit.digest"),
        (lambda database: database.execute("""UPDATE audit SET detail = '{"changes":{},"project":null}' WHERE entry = 3"""), "audit.digest"),
        (lambda database: database.execute("UPDATE audit SET detail = '[]' WHERE entry = 3"), "audit.format"),
        (lambda database: database.execute("UPDATE audit SET digest = zeroblob(32) WHERE entry = 3"), "audit.digest"),
        (lambda database: database.execute("UPDATE audit SET row_mac = zeroblob(32) WHERE entry = 3"), "audit.mac"),
        (lambda database: database.execute("DELETE FROM audit WHERE entry = 3"), "audit.entry"),
        (lambda database: database.execute("DELETE FROM audit WHERE entry = 1"), "audit.entry"),
        (renumbered, "audit.digest"),
        (swapped, "audit.digest"),
    ],
)
async def test_tampering_shows(filled: Store, tmp_path: Path, tampering: Callable[[sqlite3.Connection], object], step: str) -> None:
    with raw(tmp_path) as database:
        without_triggers(database)
        tampering(database)
    with pytest.raises(EvidenceRefused) as caught:
        await verify(filled)
    assert caught.value.check == step
