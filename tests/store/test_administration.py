"""The door for administrators: one transaction each, dry runs that leave nothing, errors that are ours."""

from pathlib import Path

import pytest

from ollm.errors import NoSuchSubject, StoreError
from ollm.receipts.audit import Head
from ollm.store.audit import EventFilter
from ollm.store.changes import Changes
from ollm.store.identity import create_project, rename_project
from ollm.store.sqlite import Store
from ollm.values.audit import chain_start
from ollm.values.identity import Project
from tests.store.conftest import Opener
from tests.store.making import raw

NOW = 1_700_000_000


async def test_a_dry_run_tells_what_it_would_make_and_leaves_nothing(store: Store) -> None:
    def work(changes: Changes) -> list[str]:
        create_project(changes, "A")
        return [event.action for event in changes.made]

    assert await store.administration.write("local_7", NOW, work, keep=False) == ["project.created"]
    assert len(await store.administration.read(lambda view: view.all(Project))) == 1
    assert await store.administration.head() == Head(0, chain_start(store.installation_id))


async def test_errors_of_the_work_pass_and_take_everything_back(store: Store) -> None:
    def work(changes: Changes) -> None:
        create_project(changes, "A")
        rename_project(changes, "proj_none", "B")

    with pytest.raises(NoSuchSubject, match="no such project"):
        await store.administration.write("local_7", NOW, work)
    assert (await store.administration.head()).entry == 0


async def test_the_head_is_the_last_event(store: Store) -> None:
    await store.administration.write("local_7", NOW, lambda changes: create_project(changes, "A"))
    await store.administration.write("local_7", NOW, lambda changes: create_project(changes, "B"))
    entries = [entry async for entry in store.administration.log()]
    assert await store.administration.head() == Head(2, entries[1].digest)
    assert [entry.event.entry for entry in await store.administration.events(EventFilter(newest_first=True), 1)] == [2]


async def test_an_unusable_database_is_our_error(opener: Opener, tmp_path: Path) -> None:
    async with opener() as store:
        with raw(tmp_path) as database:
            database.execute("ALTER TABLE projects RENAME TO elsewhere")
        with pytest.raises(StoreError, match="reading the store failed"):
            await store.administration.read(lambda view: view.all(Project))
        with pytest.raises(StoreError, match="changing the store failed"):
            await store.administration.write("local_7", NOW, lambda changes: changes.all(Project))


async def test_other_processes_see_the_change(opener: Opener) -> None:
    async with opener() as gateway, opener(role="admin") as admin:
        made = await admin.administration.write("local_7", NOW, lambda changes: create_project(changes, "A"))
        assert await gateway.administration.read(lambda view: view.one(Project, made.project_id)) == made
