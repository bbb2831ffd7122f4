"""Organisations, projects, accounts, people: what administrators do with them, and what stops with them."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest

from ollm.errors import ChangeRefused, NoSuchSubject
from ollm.store import identity
from ollm.store.changes import Changes
from ollm.store.issuing import create_key
from ollm.store.keys import NewKey, authenticate
from ollm.store.sqlite import Store
from ollm.values.identity import DEFAULT_ORG, DEFAULT_PROJECT, Membership, Role, ServiceAccount, User
from ollm.values.terms import Terms
from tests.store.making import PEPPER, Database

NOW = 1_700_000_000
T = TypeVar("T")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """On each kind of database."""
    async with database.open() as store:
        yield store


async def do(store: Store, work: Callable[[Changes], T]) -> T:
    result = await store.administration.write("local_7", NOW, work)
    await store.keys.refresh()
    return result


async def actions(store: Store) -> list[str]:
    return [entry.event.action async for entry in store.administration.log()]


async def key_of(store: Store, project_id: str, owner: str | None = None) -> str:
    new = NewKey(name="app", created_at=NOW, project_id=project_id, owner=owner)
    return (await do(store, lambda changes: create_key(changes, new, PEPPER)))[0]


def let_in(store: Store, text: str) -> bool:
    return authenticate(text, store.keys, PEPPER, NOW + 1) is not None


async def test_an_archived_projects_keys_stop(store: Store) -> None:
    project = await do(store, lambda changes: identity.create_project(changes, "Payroll"))
    text = await key_of(store, project.project_id)
    assert let_in(store, text)
    archived = await do(store, lambda changes: identity.archive_project(changes, project.project_id))
    assert archived.archived_at == NOW
    assert not let_in(store, text)
    assert await do(store, lambda changes: identity.archive_project(changes, project.project_id)) == archived
    assert (await actions(store))[-1] == "project.archived"
    with pytest.raises(ChangeRefused, match="archived"):
        await do(store, lambda changes: identity.rename_project(changes, project.project_id, "Other"))
    with pytest.raises(ChangeRefused, match="archived"):
        await do(store, lambda changes: identity.create_account(changes, project.project_id, "Other"))


async def test_the_default_project_stays(store: Store) -> None:
    with pytest.raises(ChangeRefused, match="default project"):
        await do(store, lambda changes: identity.archive_project(changes, DEFAULT_PROJECT))


async def test_a_removed_accounts_keys_are_revoked(store: Store) -> None:
    account = await do(store, lambda changes: identity.create_account(changes, DEFAULT_PROJECT, "Nightly"))
    mine, other = await key_of(store, DEFAULT_PROJECT, account.account_id), await key_of(store, DEFAULT_PROJECT)
    assert let_in(store, mine)
    await do(store, lambda changes: identity.remove_account(changes, DEFAULT_PROJECT, account.account_id))
    assert not let_in(store, mine)
    assert let_in(store, other)
    assert (await actions(store))[-2:] == ["api_key.deleted", "service_account.deleted"]
    with pytest.raises(NoSuchSubject, match="service account"):
        await do(store, lambda changes: identity.rename_account(changes, DEFAULT_PROJECT, account.account_id, "x"))


async def test_an_account_is_known_in_its_own_project_alone(store: Store) -> None:
    account = await do(store, lambda changes: identity.create_account(changes, DEFAULT_PROJECT, "Nightly"))
    project = await do(store, lambda changes: identity.create_project(changes, "Other"))
    renamed = await do(store, lambda changes: identity.rename_account(changes, DEFAULT_PROJECT, account.account_id, "Daily"))
    assert renamed.name == "Daily"
    with pytest.raises(NoSuchSubject):
        await do(store, lambda changes: identity.rename_account(changes, project.project_id, account.account_id, "x"))


async def test_a_removed_person_leaves_all_projects_and_their_keys_are_revoked(store: Store) -> None:
    user = await do(store, lambda changes: identity.add_user(changes, "ada@example.com", Role.MEMBER))
    await do(store, lambda changes: identity.add_member(changes, DEFAULT_PROJECT, user.user_id, Role.MEMBER))
    text = await key_of(store, DEFAULT_PROJECT, user.user_id)
    assert let_in(store, text)
    await do(store, lambda changes: identity.remove_user(changes, user.user_id))
    assert not let_in(store, text)
    assert (await actions(store))[-3:] == ["role.assignment.deleted", "api_key.deleted", "user.deleted"]
    assert await store.administration.read(lambda view: view.all(Membership)) == []
    assert len(await store.administration.read(lambda view: view.all(User))) == 1  # the row stays: the log names it
    again = await do(store, lambda changes: identity.add_user(changes, "ada@example.com", Role.VIEWER))
    assert again.user_id != user.user_id


async def test_a_person_has_one_name_and_is_in_a_project_once(store: Store) -> None:
    user = await do(store, lambda changes: identity.add_user(changes, "ada@example.com", Role.MEMBER))
    with pytest.raises(ChangeRefused, match="this name already"):
        await do(store, lambda changes: identity.add_user(changes, "ada@example.com", Role.ADMIN))
    await do(store, lambda changes: identity.add_member(changes, DEFAULT_PROJECT, user.user_id, Role.MEMBER))
    with pytest.raises(ChangeRefused, match="member of this project already"):
        await do(store, lambda changes: identity.add_member(changes, DEFAULT_PROJECT, user.user_id, Role.ADMIN))


async def test_roles_change(store: Store) -> None:
    user = await do(store, lambda changes: identity.add_user(changes, "ada@example.com", Role.MEMBER))
    assert (await do(store, lambda changes: identity.set_user_role(changes, user.user_id, Role.AUDITOR))).role == Role.AUDITOR
    await do(store, lambda changes: identity.add_member(changes, DEFAULT_PROJECT, user.user_id, Role.MEMBER))
    assert (await do(store, lambda changes: identity.set_member_role(changes, DEFAULT_PROJECT, user.user_id, Role.OWNER))).role == Role.OWNER
    text = await key_of(store, DEFAULT_PROJECT, user.user_id)
    await do(store, lambda changes: identity.remove_member(changes, DEFAULT_PROJECT, user.user_id))
    assert not let_in(store, text)
    assert (await actions(store))[-2:] == ["role.assignment.deleted", "api_key.deleted"]


async def test_terms_of_projects_and_of_the_organisation_hold_for_keys(store: Store) -> None:
    text = await key_of(store, DEFAULT_PROJECT)
    await do(store, lambda changes: identity.set_project_terms(changes, DEFAULT_PROJECT, Terms(models=("a", "b"))))
    await do(store, lambda changes: identity.set_organisation_terms(changes, Terms(models=("b", "c"))))
    found = authenticate(text, store.keys, PEPPER, NOW + 1)
    assert found is not None
    assert found[0].models == frozenset({"b"})
    assert (await actions(store))[-2:] == ["project.terms.updated", "organization.terms.updated"]
    renamed = await do(store, lambda changes: identity.rename_organisation(changes, "Acme"))
    assert (renamed.org_id, renamed.name) == (DEFAULT_ORG, "Acme")


UNKNOWN: list[Callable[[Changes], object]] = [
    lambda changes: identity.rename_project(changes, "proj_none", "x"),
    lambda changes: identity.set_project_terms(changes, "proj_none", Terms()),
    lambda changes: identity.archive_project(changes, "proj_none"),
    lambda changes: identity.create_project(changes, "x", org_id="org_none"),
    lambda changes: identity.add_user(changes, "x", Role.MEMBER, "org_none"),
    lambda changes: identity.set_organisation_terms(changes, Terms(), "org_none"),
    lambda changes: identity.create_account(changes, "proj_none", "x"),
    lambda changes: identity.remove_account(changes, DEFAULT_PROJECT, "svc_none"),
    lambda changes: identity.set_user_role(changes, "user_none", Role.OWNER),
    lambda changes: identity.remove_user(changes, "user_none"),
    lambda changes: identity.add_member(changes, DEFAULT_PROJECT, "user_none", Role.MEMBER),
    lambda changes: identity.set_member_role(changes, DEFAULT_PROJECT, "user_none", Role.MEMBER),
    lambda changes: identity.remove_member(changes, "proj_none", "user_none"),
]


@pytest.mark.parametrize("work", UNKNOWN)
async def test_what_is_not_there(store: Store, work: Callable[[Changes], object]) -> None:
    with pytest.raises(NoSuchSubject):
        await do(store, work)
    assert await actions(store) == []


async def test_ids_of_one_kind_name_nothing_of_another(store: Store) -> None:
    account = await do(store, lambda changes: identity.create_account(changes, DEFAULT_PROJECT, "Nightly"))
    assert isinstance(account, ServiceAccount)
    with pytest.raises(NoSuchSubject):
        await do(store, lambda changes: identity.remove_user(changes, account.account_id))
