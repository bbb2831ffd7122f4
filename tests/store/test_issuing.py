"""Keys: made, rotated with a grace, disabled and enabled, revoked for good."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest

from ollm.errors import ChangeRefused, NoSuchSubject
from ollm.store import identity, issuing
from ollm.store.changes import Changes
from ollm.store.keys import NewKey, authenticate
from ollm.store.sqlite import Store
from ollm.values.identity import DEFAULT_PROJECT, Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.terms import Limit, Terms
from tests.store.making import PEPPER, Database

NOW = 1_700_000_000
DAY = 86_400
T = TypeVar("T")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """On each kind of database."""
    async with database.open() as store:
        yield store


async def do(store: Store, work: Callable[[Changes], T], now: int = NOW) -> T:
    result = await store.administration.write("local_7", now, work)
    await store.keys.refresh()
    return result


async def made(store: Store, **options: object) -> tuple[str, KeyRow]:
    new = NewKey(**({"name": "app", "created_at": NOW} | options))  # type: ignore[arg-type]
    return await do(store, lambda changes: issuing.create_key(changes, new, PEPPER))


def let_in(store: Store, text: str, now: int = NOW + 1) -> bool:
    return authenticate(text, store.keys, PEPPER, now) is not None


async def last(store: Store) -> tuple[str, str]:
    events = [entry.event async for entry in store.administration.log()]
    return events[-1].action, events[-1].target


async def test_a_key_of_a_project_with_terms(store: Store) -> None:
    project = await do(store, lambda changes: identity.create_project(changes, "Payroll"))
    text, row = await made(store, project_id=project.project_id, terms=Terms(limits=(Limit(requests_per_minute=5),)), require=Level.ZDR)
    found = authenticate(text, store.keys, PEPPER, NOW + 1)
    assert found is not None
    assert (found[0].project_id, found[0].floor) == (project.project_id, Level.ZDR)
    assert await last(store) == ("api_key.created", row.key_id)


async def test_the_log_holds_no_secret(store: Store) -> None:
    text, row = await made(store)
    (event,) = [entry.event async for entry in store.administration.log()]
    assert set(event.changes) == {"name", "require", "project_id", "role", "terms"}
    assert text not in str(event)
    assert row.mac.hex() not in str(event)


async def test_a_rotated_key_ends_after_its_grace(store: Store) -> None:
    old_text, old = await made(store, terms=Terms(models=("a",)), expires_at=NOW + 90 * DAY)
    later = NOW + 30 * DAY
    text, row = await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, 2 * DAY, PEPPER), later)
    assert (row.replaces, row.terms, row.name, row.expires_at) == (old.key_id, old.terms, "app", later + 90 * DAY)
    assert let_in(store, old_text, later + 2 * DAY - 1)
    assert not let_in(store, old_text, later + 2 * DAY)
    assert let_in(store, text, later + 60 * DAY)
    events = [entry.event async for entry in store.administration.log()]
    assert [(event.action, event.target) for event in events[1:]] == [("api_key.rotated", row.key_id), ("api_key.updated", old.key_id)]
    assert events[1].changes["replaces"] == old.key_id


async def test_a_rotation_never_lengthens_a_life(store: Store) -> None:
    _, old = await made(store, expires_at=NOW + 60)
    await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, DAY, PEPPER))
    found = await store.administration.read(lambda view: issuing.key(view, old.key_id))
    assert found.expires_at == NOW + 60
    with pytest.raises(ChangeRefused, match="was rotated"):
        await do(store, lambda changes: issuing.set_key_expiry(changes, old.key_id, NOW + DAY))


async def test_a_key_without_end_has_a_successor_without_end(store: Store) -> None:
    text, old = await made(store)
    _, row = await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, 0, PEPPER))
    assert row.expires_at is None
    assert not let_in(store, text, NOW)


async def test_one_successor_at_a_time(store: Store) -> None:
    _, old = await made(store)
    _, row = await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, DAY, PEPPER))
    with pytest.raises(ChangeRefused, match="successor already"):
        await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, DAY, PEPPER))
    await do(store, lambda changes: issuing.revoke_key(changes, row.key_id))
    await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, DAY, PEPPER))


@pytest.mark.parametrize("grace", [-1, issuing.MAX_GRACE + 1])
async def test_graces_that_are_none(store: Store, grace: int) -> None:
    _, old = await made(store)
    with pytest.raises(ChangeRefused, match="grace"):
        await do(store, lambda changes: issuing.rotate_key(changes, old.key_id, grace, PEPPER))


async def test_disabled_is_not_revoked(store: Store) -> None:
    text, row = await made(store)
    disabled = await do(store, lambda changes: issuing.disable_key(changes, row.key_id))
    assert not let_in(store, text)
    assert await do(store, lambda changes: issuing.disable_key(changes, row.key_id), NOW + 5) == disabled
    with pytest.raises(ChangeRefused, match="disabled"):
        await do(store, lambda changes: issuing.rotate_key(changes, row.key_id, 0, PEPPER))
    await do(store, lambda changes: issuing.enable_key(changes, row.key_id))
    assert let_in(store, text)
    assert await last(store) == ("api_key.enabled", row.key_id)


async def test_revoked_is_final(store: Store) -> None:
    text, row = await made(store)
    revoked = await do(store, lambda changes: issuing.revoke_key(changes, row.key_id))
    assert not let_in(store, text)
    assert await do(store, lambda changes: issuing.revoke_key(changes, row.key_id), NOW + 5) == revoked
    refused: list[Callable[[Changes], object]] = [
        lambda changes: issuing.enable_key(changes, row.key_id),
        lambda changes: issuing.disable_key(changes, row.key_id),
        lambda changes: issuing.rotate_key(changes, row.key_id, 0, PEPPER),
        lambda changes: issuing.set_key_expiry(changes, row.key_id, NOW + DAY),
        lambda changes: issuing.set_key_terms(changes, row.key_id, Terms()),
    ]
    for work in refused:
        with pytest.raises(ChangeRefused, match="revoked"):
            await do(store, work)
    assert not let_in(store, text)


async def test_expired_stays_expired(store: Store) -> None:
    text, row = await made(store, expires_at=NOW + 10)
    await do(store, lambda changes: issuing.set_key_expiry(changes, row.key_id, NOW + 20))
    assert let_in(store, text, NOW + 15)
    for work in (
        lambda changes: issuing.set_key_expiry(changes, row.key_id, NOW + DAY),
        lambda changes: issuing.rotate_key(changes, row.key_id, 0, PEPPER),
    ):
        with pytest.raises(ChangeRefused, match="expired"):
            await do(store, work, NOW + 20)


async def test_terms_of_a_key(store: Store) -> None:
    text, row = await made(store)
    await do(store, lambda changes: issuing.set_key_terms(changes, row.key_id, Terms(models=("a",))))
    found = authenticate(text, store.keys, PEPPER, NOW + 1)
    assert found is not None
    assert found[0].models == frozenset({"a"})


async def test_keys_of_admins_belong_to_the_organisation(store: Store) -> None:
    project = await do(store, lambda changes: identity.create_project(changes, "Payroll"))
    await made(store, role=Role.AUDITOR)
    with pytest.raises(ChangeRefused, match="belongs to no project"):
        await made(store, role=Role.AUDITOR, project_id=project.project_id)


async def test_owners_exist(store: Store) -> None:
    project = await do(store, lambda changes: identity.create_project(changes, "Payroll"))
    account = await do(store, lambda changes: identity.create_account(changes, DEFAULT_PROJECT, "Nightly"))
    person = await do(store, lambda changes: identity.add_user(changes, "ada@example.com", Role.MEMBER))
    await made(store, owner=account.account_id)
    await made(store, owner=person.user_id, project_id=project.project_id)
    await do(store, lambda changes: identity.remove_user(changes, person.user_id))
    for options in ({"owner": "svc_none"}, {"owner": account.account_id, "project_id": project.project_id}, {"owner": person.user_id}):
        with pytest.raises(NoSuchSubject, match="owner"):
            await made(store, **options)


async def test_unknown_keys_and_projects(store: Store) -> None:
    with pytest.raises(NoSuchSubject, match="project"):
        await made(store, project_id="proj_none")
    unknown: list[Callable[[Changes], object]] = [
        lambda changes: issuing.revoke_key(changes, "none"),
        lambda changes: issuing.enable_key(changes, "none"),
        lambda changes: issuing.disable_key(changes, "none"),
    ]
    for work in unknown:
        with pytest.raises(NoSuchSubject, match="key"):
            await do(store, work)


async def test_a_key_is_known_in_its_own_project_alone(store: Store) -> None:
    _, row = await made(store)
    with pytest.raises(NoSuchSubject):
        await store.administration.read(lambda view: issuing.key(view, row.key_id, "proj_other"))
