"""A change and its event are one transaction; rows that aren't authentic can be neither read nor changed."""

import os
import re
from pathlib import Path

import msgspec
import pytest

from ollm.errors import StoreError
from ollm.store.changes import Changes, View, local_actor, target_of
from ollm.store.identity import create_project
from ollm.store.sqlite import Store
from ollm.values.identity import DEFAULT_ORG, Membership, Project, Role
from ollm.values.terms import NO_TERMS, Terms
from tests.store.making import raw

NOW = 1_700_000_000


async def test_a_new_row_and_its_event(store: Store) -> None:
    made = await store.administration.write("local_7", NOW, lambda changes: create_project(changes, "Pay roll", Terms(models=("a",))))
    assert re.fullmatch(r"proj_[a-z2-7]{16}", made.project_id)
    assert await store.administration.read(lambda view: view.one(Project, made.project_id)) == made
    (event,) = [entry.event async for entry in store.administration.log()]
    assert (event.entry, event.at, event.actor, event.action) == (1, NOW, "local_7", "project.created")
    assert (event.target, event.project) == (made.project_id, made.project_id)
    assert event.changes == {"name": "Pay roll", "org_id": DEFAULT_ORG, "terms": {"models": ["a"]}}


async def test_an_event_names_only_what_became_another(store: Store) -> None:
    made = await store.administration.write("local_7", NOW, lambda changes: create_project(changes, "A", Terms(models=("a",))))

    def change(changes: Changes) -> tuple[Project, Project]:
        renamed = changes.put(made, msgspec.structs.replace(made, name="B"), "project.updated")
        return renamed, changes.put(renamed, msgspec.structs.replace(renamed, terms=NO_TERMS, archived_at=NOW), "project.archived")

    renamed, archived = await store.administration.write("local_7", NOW, change)
    events = [entry.event async for entry in store.administration.log()]
    assert [event.changes for event in events[1:]] == [{"name": "B"}, {"terms": {}, "archived_at": NOW}]

    def back(changes: Changes) -> Project:
        return changes.put(archived, msgspec.structs.replace(archived, archived_at=None), "project.updated")

    await store.administration.write("local_7", NOW, back)
    assert [entry.event.changes async for entry in store.administration.log()][-1] == {"archived_at": None}
    assert renamed.row_mac != archived.row_mac


async def test_what_changes_nothing_is_no_event(store: Store) -> None:
    made = await store.administration.write("local_7", NOW, lambda changes: create_project(changes, "A"))
    same = await store.administration.write("local_7", NOW, lambda changes: changes.put(made, made, "project.updated"))
    assert same is made
    assert len([entry async for entry in store.administration.log()]) == 1


async def test_what_fails_leaves_neither_row_nor_event(store: Store) -> None:
    def work(changes: Changes) -> None:
        create_project(changes, "A")
        create_project(changes, "naïve")

    with pytest.raises(StoreError, match="CONSTRAINT"):
        await store.administration.write("local_7", NOW, work)
    assert [project.name for project in await store.administration.read(lambda view: view.all(Project))] == ["default"]
    assert [entry async for entry in store.administration.log()] == []


async def test_rows_that_are_not_authentic_are_absent_and_named(store: Store, tmp_path: Path) -> None:
    made = await store.administration.write("local_7", NOW, lambda changes: create_project(changes, "A", Terms(models=())))
    with raw(tmp_path) as database:
        database.execute("UPDATE projects SET terms = '{}' WHERE project_id = ?", (made.project_id,))

    def look(view: View) -> tuple[Project | None, list[Project]]:
        return view.one(Project, made.project_id), view.all(Project)

    one, every = await store.administration.read(look)
    assert one is None
    assert made.project_id not in {project.project_id for project in every}
    assert store.administration.rejected == {made.project_id}


def test_who_changes_the_store_locally_is_a_user_of_the_machine() -> None:
    assert local_actor() == f"local_{os.getuid()}"


def test_the_target_of_a_membership_is_the_person() -> None:
    assert target_of(Membership("proj_a", "user_a", Role.MEMBER, 1, b"")) == "user_a"
