"""What the configuration declares is made so in one go; a second time there is nothing to change."""

from collections.abc import AsyncIterator

import pytest

from ollm.errors import ChangeRefused, StoreError
from ollm.store import identity
from ollm.store.changes import Changes
from ollm.store.declared import Declared, DeclaredProject, Step, bring_about
from ollm.store.sqlite import Store
from ollm.values.identity import Project, ServiceAccount
from ollm.values.terms import Terms
from tests.store.making import Database

NOW = 1_700_000_000
TERMS = Terms(models=("small",))
DECLARED = Declared({"Payroll": DeclaredProject(TERMS, ("nightly",)), "default": DeclaredProject(Terms())}, Terms(max_request_micro=5), "Acme")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """On each kind of database."""
    async with database.open() as store:
        yield store


async def applied(store: Store, declared: Declared, *, prune: bool = False, keep: bool = True) -> list[Step]:
    return await store.administration.write("local_7", NOW, lambda changes: bring_about(changes, declared, prune=prune), keep=keep)


async def state(store: Store) -> dict[str, tuple[Terms, list[str]]]:
    projects = await store.administration.read(lambda view: view.all(Project))
    accounts = await store.administration.read(lambda view: view.all(ServiceAccount))
    return {
        project.name: (project.terms, [row.name for row in accounts if row.project_id == project.project_id and row.removed_at is None])
        for project in projects
        if project.archived_at is None
    }


async def test_everything_is_made_and_then_nothing_is_to_change(store: Store) -> None:
    steps = await applied(store, DECLARED)
    assert [(step.action, step.kind, step.name) for step in steps] == [
        ("changed", "organisation", "default"),
        ("created", "project", "Payroll"),
        ("created", "service account", "Payroll/nightly"),
    ]
    assert steps[0].fields == {"name": ("default", "Acme"), "max_request_micro": (None, 5)}
    assert await state(store) == {"default": (Terms(), []), "Payroll": (TERMS, ["nightly"])}
    head = await store.administration.head()
    assert head.entry == 4  # two of them are the organisation's
    assert await applied(store, DECLARED) == []
    assert await store.administration.head() == head


async def test_a_dry_run_tells_the_same_and_changes_nothing(store: Store) -> None:
    told = await applied(store, DECLARED, keep=False)
    assert await state(store) == {"default": (Terms(), [])}
    assert await applied(store, DECLARED) == told


async def test_changed_terms(store: Store) -> None:
    await applied(store, DECLARED)
    (step,) = await applied(store, Declared({"Payroll": DeclaredProject(Terms(max_request_micro=7), ("nightly",))}))
    assert (step.action, step.name, step.fields) == ("changed", "Payroll", {"models": (("small",), None), "max_request_micro": (None, 7)})
    assert (await state(store))["Payroll"][0] == Terms(max_request_micro=7)


async def test_what_is_not_declared_stays_unless_it_is_pruned(store: Store) -> None:
    await applied(store, DECLARED)
    await applied(store, Declared({"Other": DeclaredProject(TERMS)}))
    less = Declared({"Payroll": DeclaredProject(TERMS)})
    assert await applied(store, less) == []
    steps = await applied(store, less, prune=True)
    assert [(step.action, step.kind, step.name) for step in steps] == [
        ("archived", "service account", "Payroll/nightly"),
        ("archived", "project", "Other"),
    ]
    assert await state(store) == {"default": (Terms(), []), "Payroll": (TERMS, [])}
    assert await applied(store, less, prune=True) == []


async def test_it_is_all_or_nothing(store: Store) -> None:
    declared = Declared({"Payroll": DeclaredProject(TERMS), "naïve": DeclaredProject(TERMS)})
    with pytest.raises(StoreError):
        await applied(store, declared)
    assert await state(store) == {"default": (Terms(), [])}
    assert (await store.administration.head()).entry == 0


async def test_names_that_tell_nothing(store: Store) -> None:
    def twice(changes: Changes) -> None:
        identity.create_project(changes, "Same")
        identity.create_project(changes, "Same")

    await store.administration.write("local_7", NOW, twice)
    with pytest.raises(ChangeRefused, match="same name"):
        await applied(store, DECLARED)
