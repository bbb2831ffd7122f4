"""Service accounts, people, and what people are in projects."""

from typing import Annotated, Literal

import msgspec

from ollm.admin.call import Answer, Call
from ollm.admin.keys import Seconds
from ollm.admin.objects import Object, account_object, member_object, new_key_object, user_object
from ollm.admin.queries import Page
from ollm.config.admin_settings import Label
from ollm.errors import NoSuchSubject
from ollm.store import identity, issuing
from ollm.store.changes import Changes, View
from ollm.store.keys import NewKey
from ollm.values.identity import Membership, Role, ServiceAccount, User
from ollm.values.level import Level


class _NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Label
    create_service_account_only: bool | None = None
    expires_in_seconds: Seconds | None = None
    require: Level = Level.TEE


class _AccountChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Label
    role: Literal["member"] = "member"


class _NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: Label  # or another name
    role: Role = Role.MEMBER


class _NewMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Role
    user_id: str | None = None
    email: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class _RoleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Role


async def list_accounts(call: Call) -> Answer:
    """A project's service accounts."""
    page = Page(call.query)
    call.query.end()

    def shown(view: View) -> list[Object]:
        identity.project(view, call.name("project"))
        return [account_object(row) for row in view.all(ServiceAccount, project_id=call.name("project")) if row.removed_at is None]

    return page.of(await call.read(shown))


async def create_account(call: Call) -> Answer:
    """A service account with its first key, which is shown once; without one on create_service_account_only."""
    body = await call.body(_NewAccount)

    def work(changes: Changes) -> Object:
        account = identity.create_account(changes, call.name("project"), body.name)
        if body.create_service_account_only:
            return {**account_object(account), "role": "none", "api_key": None}
        ends = None if body.expires_in_seconds is None else call.now + body.expires_in_seconds
        new = NewKey(
            name=body.name,
            require=body.require,
            created_at=call.now,
            expires_at=ends,
            project_id=account.project_id,
            owner=account.account_id,
        )
        text, row = issuing.create_key(changes, new, call.admin.pepper)
        return {**account_object(account), "api_key": new_key_object(row, text)}

    return await call.write(work)


async def show_account(call: Call) -> Answer:
    """One service account."""
    call.query.end()
    return account_object(await call.read(lambda view: identity.account(view, call.name("project"), call.name("account"))))


async def change_account(call: Call) -> Answer:
    """Rename a service account."""
    body = await call.body(_AccountChange)
    return account_object(await call.write(lambda changes: identity.rename_account(changes, call.name("project"), call.name("account"), body.name)))


async def remove_account(call: Call) -> Answer:
    """End a service account and revoke its keys."""
    await call.no_body()
    row = await call.write(lambda changes: identity.remove_account(changes, call.name("project"), call.name("account")))
    return {"id": row.account_id, "object": "organization.project.service_account.deleted", "deleted": True}


async def list_users(call: Call) -> Answer:
    """People of the organisation; `emails` leaves those of these names."""
    page, emails = Page(call.query), call.query.many("emails")
    call.query.end()
    rows = await call.read(lambda view: view.all(User))
    return page.of([user_object(row) for row in rows if row.removed_at is None and (not emails or row.name in emails)])


async def add_user(call: Call) -> Answer:
    """A person. Roles owner and admin are given by owners alone."""
    body = await call.body(_NewUser)
    call.check_may_grant(body.role)
    return user_object(await call.write(lambda changes: identity.add_user(changes, body.email, body.role)))


async def show_user(call: Call) -> Answer:
    """One person."""
    call.query.end()
    return user_object(await call.read(lambda view: identity.user(view, call.name("user"))))


async def change_user(call: Call) -> Answer:
    """Another role in the organisation. Owners alone make, and unmake, owners and admins."""
    body = await call.body(_RoleChange)

    def work(changes: Changes) -> User:
        call.check_may_grant(body.role, identity.user(changes, call.name("user")).role)
        return identity.set_user_role(changes, call.name("user"), body.role)

    return user_object(await call.write(work))


async def remove_user(call: Call) -> Answer:
    """End a person's part in the organisation: out of all projects, keys revoked."""
    await call.no_body()

    def work(changes: Changes) -> User:
        call.check_may_grant(identity.user(changes, call.name("user")).role)
        return identity.remove_user(changes, call.name("user"))

    return {"id": (await call.write(work)).user_id, "object": "organization.user.deleted", "deleted": True}


async def list_members(call: Call) -> Answer:
    """People of a project, with their roles in it."""
    page = Page(call.query)
    call.query.end()

    def shown(view: View) -> list[Object]:
        identity.project(view, call.name("project"))
        users = {user.user_id: user for user in view.all(User)}
        return [member_object(row, users[row.user_id]) for row in view.all(Membership, project_id=call.name("project")) if row.user_id in users]

    return page.of(await call.read(shown))


async def add_member(call: Call) -> Answer:
    """Take a person into a project: by `user_id`, or by `email`."""
    body = await call.body(_NewMember)

    def work(changes: Changes) -> Object:
        user = _named(changes, body)
        return member_object(identity.add_member(changes, call.name("project"), user.user_id, body.role), user)

    return await call.write(work)


def _named(view: View, body: _NewMember) -> User:
    if body.user_id is not None:
        return identity.user(view, body.user_id)
    found = [row for row in view.all(User, name=body.email or "") if row.removed_at is None]
    if not found:
        raise NoSuchSubject("user")
    return found[0]


async def show_member(call: Call) -> Answer:
    """What a person is in a project."""
    call.query.end()
    return await call.read(lambda view: _member(view, identity.membership(view, call.name("project"), call.name("user"))))


async def change_member(call: Call) -> Answer:
    """Another role in the project."""
    body = await call.body(_RoleChange)

    def work(changes: Changes) -> Object:
        return _member(changes, identity.set_member_role(changes, call.name("project"), call.name("user"), body.role))

    return await call.write(work)


async def remove_member(call: Call) -> Answer:
    """Take a person out of a project; the keys that they have there are revoked."""
    await call.no_body()
    row = await call.write(lambda changes: identity.remove_member(changes, call.name("project"), call.name("user")))
    return {"id": row.user_id, "object": "organization.project.user.deleted", "deleted": True}


def _member(view: View, row: Membership) -> Object:
    return member_object(row, identity.user(view, row.user_id))
