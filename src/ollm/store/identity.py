"""What administrators do with organisations, projects, accounts, people and memberships. Each function is a part of one transaction.

Nothing is ever taken out but memberships: rows stay with the time at which they ended, because ledger and audit log refer to them.
"""

from typing import TypeVar

import msgspec

from ollm.errors import ChangeRefused, NoSuchSubject
from ollm.store.changes import Changes, View
from ollm.values.identity import DEFAULT_ORG, DEFAULT_PROJECT, Membership, Organisation, Project, Role, ServiceAccount, User
from ollm.values.ledger import KeyRow
from ollm.values.terms import NO_TERMS, Terms

Ending = TypeVar("Ending", ServiceAccount, User)


def organisation(view: View, org_id: str = DEFAULT_ORG) -> Organisation:
    """Raises: NoSuchSubject."""
    found = view.one(Organisation, org_id)
    if found is None:
        raise NoSuchSubject("organisation")
    return found


def project(view: View, project_id: str) -> Project:
    """A project, archived or not. Raises: NoSuchSubject."""
    found = view.one(Project, project_id)
    if found is None:
        raise NoSuchSubject("project")
    return found


def open_project(view: View, project_id: str) -> Project:
    """A project that isn't archived. Raises: NoSuchSubject, ChangeRefused."""
    found = project(view, project_id)
    if found.archived_at is not None:
        raise ChangeRefused("the project is archived", "an archived project stays as it is; make another")
    return found


def account(view: View, project_id: str, account_id: str) -> ServiceAccount:
    """A service account of this project that isn't removed. Raises: NoSuchSubject."""
    found = view.one(ServiceAccount, account_id)
    if found is None or found.project_id != project_id or found.removed_at is not None:
        raise NoSuchSubject("service account")
    return found


def user(view: View, user_id: str) -> User:
    """A person that isn't removed. Raises: NoSuchSubject."""
    found = view.one(User, user_id)
    if found is None or found.removed_at is not None:
        raise NoSuchSubject("user")
    return found


def membership(view: View, project_id: str, user_id: str) -> Membership:
    """What a person is in a project. Raises: NoSuchSubject."""
    found = view.one(Membership, project_id, user_id)
    if found is None:
        raise NoSuchSubject("member")
    return found


def create_project(changes: Changes, name: str, terms: Terms = NO_TERMS, org_id: str = DEFAULT_ORG) -> Project:
    """A new project of the organisation. Raises: NoSuchSubject."""
    organisation(changes, org_id)
    new = Project(changes.mint("proj"), org_id, name, terms, changes.now, None, b"")
    return changes.add(new, "project.created")


def rename_project(changes: Changes, project_id: str, name: str) -> Project:
    """Raises: NoSuchSubject, ChangeRefused."""
    old = open_project(changes, project_id)
    return changes.put(old, msgspec.structs.replace(old, name=name), "project.updated")


def set_project_terms(changes: Changes, project_id: str, terms: Terms, action: str = "project.terms.updated") -> Project:
    """Give the project these terms in place of its own. Raises: NoSuchSubject, ChangeRefused."""
    old = open_project(changes, project_id)
    return changes.put(old, msgspec.structs.replace(old, terms=terms), action)


def archive_project(changes: Changes, project_id: str) -> Project:
    """End the project: its keys are refused from now on. A second time changes nothing. Raises: NoSuchSubject, ChangeRefused."""
    old = project(changes, project_id)
    if project_id == DEFAULT_PROJECT:
        raise ChangeRefused("the default project can't be archived", "keys of admins are in it; revoke single keys")
    if old.archived_at is not None:
        return old
    return changes.put(old, msgspec.structs.replace(old, archived_at=changes.now), "project.archived")


def set_organisation_terms(changes: Changes, terms: Terms, org_id: str = DEFAULT_ORG) -> Organisation:
    """Give the organisation these terms in place of its own. Raises: NoSuchSubject."""
    old = organisation(changes, org_id)
    return changes.put(old, msgspec.structs.replace(old, terms=terms), "organization.terms.updated")


def rename_organisation(changes: Changes, name: str, org_id: str = DEFAULT_ORG) -> Organisation:
    """Raises: NoSuchSubject."""
    old = organisation(changes, org_id)
    return changes.put(old, msgspec.structs.replace(old, name=name), "organization.updated")


def create_account(changes: Changes, project_id: str, name: str) -> ServiceAccount:
    """A new service account of the project, without a key. Raises: NoSuchSubject, ChangeRefused."""
    open_project(changes, project_id)
    return changes.add(ServiceAccount(changes.mint("svc"), project_id, name, changes.now, None, b""), "service_account.created")


def rename_account(changes: Changes, project_id: str, account_id: str, name: str) -> ServiceAccount:
    """Raises: NoSuchSubject."""
    old = account(changes, project_id, account_id)
    return changes.put(old, msgspec.structs.replace(old, name=name), "service_account.updated")


def remove_account(changes: Changes, project_id: str, account_id: str) -> ServiceAccount:
    """End the account and revoke its keys. Raises: NoSuchSubject."""
    return _end(changes, account(changes, project_id, account_id), account_id, "service_account.deleted")


def add_user(changes: Changes, name: str, role: Role, org_id: str = DEFAULT_ORG) -> User:
    """A new person of the organisation. Raises: NoSuchSubject; ChangeRefused where there is one of this name."""
    organisation(changes, org_id)
    if any(each.removed_at is None for each in changes.all(User, org_id=org_id, name=name)):
        raise ChangeRefused("there is a user of this name already", "change that user's role, or choose another name")
    return changes.add(User(changes.mint("user"), org_id, name, role, changes.now, None, b""), "user.added")


def set_user_role(changes: Changes, user_id: str, role: Role) -> User:
    """Raises: NoSuchSubject."""
    old = user(changes, user_id)
    return changes.put(old, msgspec.structs.replace(old, role=role), "user.updated")


def remove_user(changes: Changes, user_id: str) -> User:
    """End the person's part in the organisation, take them out of all projects and revoke their keys. Raises: NoSuchSubject."""
    old = user(changes, user_id)
    for each in changes.all(Membership, user_id=user_id):
        changes.remove(each, "role.assignment.deleted")
    return _end(changes, old, user_id, "user.deleted")


def add_member(changes: Changes, project_id: str, user_id: str, role: Role) -> Membership:
    """Take a person into a project. Raises: NoSuchSubject; ChangeRefused where they are in it."""
    open_project(changes, project_id)
    user(changes, user_id)
    if changes.one(Membership, project_id, user_id) is not None:
        raise ChangeRefused("the user is a member of this project already", "change the member's role")
    return changes.add(Membership(project_id, user_id, role, changes.now, b""), "role.assignment.created")


def set_member_role(changes: Changes, project_id: str, user_id: str, role: Role) -> Membership:
    """Raises: NoSuchSubject."""
    old = membership(changes, project_id, user_id)
    return changes.put(old, msgspec.structs.replace(old, role=role), "role.assignment.updated")


def remove_member(changes: Changes, project_id: str, user_id: str) -> Membership:
    """Take a person out of a project, and revoke the keys that they have there. Raises: NoSuchSubject."""
    old = membership(changes, project_id, user_id)
    changes.remove(old, "role.assignment.deleted")
    _revoke_keys(changes, owner=user_id, project_id=project_id)
    return old


def _end(changes: Changes, old: Ending, owner: str, action: str) -> Ending:
    _revoke_keys(changes, owner=owner)
    return changes.put(old, msgspec.structs.replace(old, removed_at=changes.now), action)


def _revoke_keys(changes: Changes, **whose: str) -> None:
    for key in changes.all(KeyRow, **whose):
        if key.revoked_at is None:
            changes.put(key, msgspec.structs.replace(key, revoked_at=changes.now), "api_key.deleted")
