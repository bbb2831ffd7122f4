"""Keys: of projects, of service accounts, and those of administrators. A key's text is in the answer that makes it, and nowhere else."""

from typing import Annotated, Literal

import msgspec

from ollm.admin.call import Answer, Call
from ollm.admin.objects import Object, key_object, new_key_object, owner_lookup
from ollm.admin.queries import Page
from ollm.config.admin_settings import Label
from ollm.config.terms_rules import check_terms
from ollm.store import identity, issuing
from ollm.store.changes import Changes, View
from ollm.store.keys import NewKey
from ollm.values.identity import Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.terms import NO_TERMS, Terms

Seconds = Annotated[int, msgspec.Meta(ge=1, le=100 * 365 * 86_400)]
ADMIN_KEY = "organization.admin_api_key"
GRACE = 86_400  # seconds that a rotated key stays valid, unless said otherwise


class _NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Label
    expires_in_seconds: Seconds | None = None
    require: Level = Level.TEE
    owner: str | None = None
    terms: Terms = NO_TERMS


class _NewAdminKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Label
    expires_in_seconds: Seconds | None = None
    role: Literal["owner", "admin", "auditor", "viewer"] = "admin"
    owner: str | None = None
    terms: Terms = NO_TERMS


class _KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expires_in_seconds: Seconds | None = None
    terms: Terms | None = None


class _Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grace_seconds: Annotated[int, msgspec.Meta(ge=0, le=issuing.MAX_GRACE)] = GRACE


async def list_keys(call: Call) -> Answer:
    """A project's keys, oldest first; revoked ones with include_revoked=true."""
    return await _list(call, project_id=call.name("project"))


async def list_admin_keys(call: Call) -> Answer:
    """Keys of administrators, oldest first; revoked ones with include_revoked=true."""
    return await _list(call)


async def _list(call: Call, project_id: str | None = None) -> Answer:
    page, revoked = Page(call.query, orders=True), call.query.flag("include_revoked")
    access = call.query.one("owner_project_access", ("active", "inactive", "any")) if project_id is not None else None
    call.query.end()
    used = await call.admin.reports.last_uses()

    def shown(view: View) -> list[Object]:
        if project_id is not None:
            identity.project(view, project_id)
            rows = [row for row in view.all(KeyRow, project_id=project_id) if row.role == Role.MEMBER]
        else:
            rows = [row for row in view.all(KeyRow) if row.role != Role.MEMBER]
        owner = owner_lookup(view)
        return [_shown(call, row, owner(row), used.get(row.key_id)) for row in rows if revoked or row.revoked_at is None]

    found = await call.read(shown)
    return page.of([each for each in found if access in (None, "any", each["owner_project_access"])])


def _shown(call: Call, row: KeyRow, owner: Object, used: int | None) -> Object:
    if row.role == Role.MEMBER:
        return key_object(row, call.now, owner, used)
    return key_object(row, call.now, owner, used, ADMIN_KEY)


async def create_key(call: Call) -> Answer:
    """A key of a project; `owner` may name a service account or a user."""
    body = await call.body(_NewKey)
    check_terms("terms", body.terms, call.admin.settings)
    new = NewKey(
        name=body.name,
        require=body.require,
        created_at=call.now,
        expires_at=_end(call, body.expires_in_seconds),
        project_id=call.name("project"),
        owner=body.owner,
        terms=body.terms,
    )
    return await _made(call, new)


async def create_admin_key(call: Call) -> Answer:
    """A key of an administrator: owner, admin, auditor or viewer."""
    body = await call.body(_NewAdminKey)
    check_terms("terms", body.terms, call.admin.settings)
    new = NewKey(
        name=body.name,
        created_at=call.now,
        expires_at=_end(call, body.expires_in_seconds),
        owner=body.owner,
        role=Role(body.role),
        terms=body.terms,
    )
    return await _made(call, new)


async def _made(call: Call, new: NewKey) -> Answer:
    def work(changes: Changes) -> Object:
        text, row = issuing.create_key(changes, new, call.admin.pepper)
        return {**_shown(call, row, owner_lookup(changes)(row), None), "value": text}

    return await call.write(work)


async def show_project_key(call: Call) -> Answer:
    """One key of a project."""
    return await _show(call, call.name("project"))


async def show_key(call: Call) -> Answer:
    """One key, whatever its project and role."""
    return await _show(call)


async def _show(call: Call, project_id: str | None = None) -> Answer:
    call.query.end()
    used = await call.admin.reports.last_uses()

    def shown(view: View) -> Object:
        row = issuing.key(view, call.name("key"), project_id)
        return _shown(call, row, owner_lookup(view)(row), used.get(row.key_id))

    return await call.read(shown)


async def change_project_key(call: Call) -> Answer:
    """Another expiry, or other terms."""
    return await _change(call, call.name("project"))


async def change_key(call: Call) -> Answer:
    """Another expiry, or other terms."""
    return await _change(call)


async def _change(call: Call, project_id: str | None = None) -> Answer:
    body = await call.body(_KeyChange)
    if body.terms is not None:
        check_terms("terms", body.terms, call.admin.settings)

    def work(changes: Changes) -> Object:
        row = _own(call, changes, project_id)
        if body.expires_in_seconds is not None:
            row = issuing.set_key_expiry(changes, row.key_id, call.now + body.expires_in_seconds)
        if body.terms is not None:
            row = issuing.set_key_terms(changes, row.key_id, body.terms)
        return _shown(call, row, owner_lookup(changes)(row), None)

    return await call.write(work)


async def revoke_project_key(call: Call) -> Answer:
    """End a key for good."""
    return await _revoke(call, "organization.project.api_key.deleted", call.name("project"))


async def revoke_key(call: Call) -> Answer:
    """End a key for good, whatever its project and role."""
    return await _revoke(call, "organization.api_key.deleted")


async def revoke_admin_key(call: Call) -> Answer:
    """End a key of an administrator for good."""
    return await _revoke(call, "organization.admin_api_key.deleted")


async def _revoke(call: Call, kind: str, project_id: str | None = None) -> Answer:
    await call.no_body()

    def work(changes: Changes) -> KeyRow:
        return issuing.revoke_key(changes, _own(call, changes, project_id).key_id)

    row = await call.write(work)
    return {"id": row.key_id, "object": kind, "deleted": True}


async def rotate_key(call: Call) -> Answer:
    """A new key in the place of this one, which ends after `grace_seconds` (a day)."""
    body = await call.body(_Rotation)

    def work(changes: Changes) -> Object:
        old = _own(call, changes)
        text, row = issuing.rotate_key(changes, old.key_id, body.grace_seconds, call.admin.pepper)
        return {**_shown(call, row, owner_lookup(changes)(row), None), "value": text}

    return await call.write(work)


async def disable_key(call: Call) -> Answer:
    """Refuse a key until it is enabled again."""
    await call.no_body()

    def work(changes: Changes) -> Object:
        row = issuing.disable_key(changes, _own(call, changes).key_id)
        return _shown(call, row, owner_lookup(changes)(row), None)

    return await call.write(work)


async def enable_key(call: Call) -> Answer:
    """Let a disabled key in again."""
    await call.no_body()

    def work(changes: Changes) -> Object:
        row = issuing.enable_key(changes, _own(call, changes).key_id)
        return _shown(call, row, owner_lookup(changes)(row), None)

    return await call.write(work)


async def create_account_key(call: Call) -> Answer:
    """A further key of a service account."""
    body = await call.body(_NewKey)
    check_terms("terms", body.terms, call.admin.settings)

    def work(changes: Changes) -> Object:
        account = identity.account(changes, call.name("project"), call.name("account"))
        new = NewKey(
            name=body.name,
            require=body.require,
            created_at=call.now,
            expires_at=_end(call, body.expires_in_seconds),
            project_id=account.project_id,
            owner=account.account_id,
            terms=body.terms,
        )
        text, row = issuing.create_key(changes, new, call.admin.pepper)
        return new_key_object(row, text)

    return await call.write(work)


def _own(call: Call, changes: Changes, project_id: str | None = None) -> KeyRow:
    """The key that the path names; of an owner or an admin, only an owner may touch it. Raises: NoSuchSubject, ApiError 403."""
    row = issuing.key(changes, call.name("key"), project_id)
    call.check_may_grant(row.role)
    return row


def _end(call: Call, seconds: int | None) -> int | None:
    return None if seconds is None else call.now + seconds
