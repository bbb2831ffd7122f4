"""What administrators do with keys: make, rotate, disable, enable, revoke. Each function is a part of one transaction.

Disabling is not revoking: an admin can enable the key again. What is revoked, or has expired, stays so.
"""

import os

import msgspec

from ollm.errors import ChangeRefused, NoSuchSubject
from ollm.store.changes import Changes, View
from ollm.store.identity import open_project
from ollm.store.keys import RANDOM_BYTES, NewKey, mint_key
from ollm.values.identity import DEFAULT_PROJECT, Role, ServiceAccount, User
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.terms import Terms

MAX_GRACE = 90 * 86_400  # seconds that a rotated key may stay valid beside its successor


def key(view: View, key_id: str, project_id: str | None = None) -> KeyRow:
    """A key, revoked or not; with `project_id`, of that project. Raises: NoSuchSubject."""
    found = view.one(KeyRow, key_id)
    if found is None or (project_id is not None and found.project_id != project_id):
        raise NoSuchSubject("key")
    return found


def create_key(changes: Changes, new: NewKey, pepper: bytes, action: str = "api_key.created") -> tuple[str, KeyRow]:
    """A new key: its text, which is kept nowhere, and its row. Raises: NoSuchSubject, ChangeRefused."""
    open_project(changes, new.project_id)
    if new.role is not Role.MEMBER and new.project_id != DEFAULT_PROJECT:
        raise ChangeRefused(f"a key of role {new.role} belongs to no project", "leave the project out: it is a key of the organisation")
    if new.owner is not None:
        _check_owner(changes, new.owner, new.project_id)
    text, row = mint_key(new, pepper=pepper, row_key=changes.row_key, random=os.urandom(RANDOM_BYTES))
    return text, changes.add(row, action)


def rotate_key(changes: Changes, key_id: str, grace: int, pepper: bytes) -> tuple[str, KeyRow]:
    """A new key in the place of this one, which stays valid for `grace` seconds. The new one lives as long as the old one was made for.

    Raises: NoSuchSubject; ChangeRefused for a key that isn't valid now, or that was rotated already.
    """
    old = key(changes, key_id)
    _check_usable(old, changes.now)
    if not 0 <= grace <= MAX_GRACE:
        raise ChangeRefused(f"a grace of {grace} seconds is none", f"at most {MAX_GRACE // 86_400} days")
    if any(each.revoked_at is None for each in changes.all(KeyRow, replaces=key_id)):
        raise ChangeRefused("the key has a successor already", "rotate that one, or revoke it first")
    new = NewKey(
        name=old.name,
        require=Level(old.require),
        created_at=changes.now,
        expires_at=None if old.expires_at is None else changes.now + (old.expires_at - old.created_at),
        project_id=old.project_id,
        owner=old.owner,
        role=Role(old.role),
        terms=old.terms,
        replaces=old.key_id,
    )
    text, row = create_key(changes, new, pepper, "api_key.rotated")
    end = changes.now + grace
    changes.put(old, msgspec.structs.replace(old, expires_at=end if old.expires_at is None else min(end, old.expires_at)), "api_key.updated")
    return text, row


def disable_key(changes: Changes, key_id: str) -> KeyRow:
    """Refuse the key until it is enabled. A second time changes nothing. Raises: NoSuchSubject; ChangeRefused for a revoked one."""
    old = key(changes, key_id)
    _check_not_revoked(old)
    if old.disabled_at is not None:
        return old
    return changes.put(old, msgspec.structs.replace(old, disabled_at=changes.now), "api_key.disabled")


def enable_key(changes: Changes, key_id: str) -> KeyRow:
    """Let a disabled key in again. Raises: NoSuchSubject; ChangeRefused for a revoked one."""
    old = key(changes, key_id)
    _check_not_revoked(old)
    return changes.put(old, msgspec.structs.replace(old, disabled_at=None), "api_key.enabled")


def revoke_key(changes: Changes, key_id: str) -> KeyRow:
    """End the key for good. A second time keeps the first time. Raises: NoSuchSubject."""
    old = key(changes, key_id)
    if old.revoked_at is not None:
        return old
    return changes.put(old, msgspec.structs.replace(old, revoked_at=changes.now), "api_key.deleted")


def set_key_expiry(changes: Changes, key_id: str, expires_at: int) -> KeyRow:
    """Let the key end at `expires_at` (Unix seconds). Raises: NoSuchSubject; ChangeRefused for a key that has ended, or is about to be replaced."""
    old = key(changes, key_id)
    _check_usable(old, changes.now, disabled=True)
    if expires_at > (old.expires_at or expires_at) and changes.all(KeyRow, replaces=key_id):
        raise ChangeRefused("the key was rotated, and ends with its grace", "use its successor")
    return changes.put(old, msgspec.structs.replace(old, expires_at=expires_at), "api_key.updated")


def set_key_terms(changes: Changes, key_id: str, terms: Terms) -> KeyRow:
    """Give the key these terms in place of its own. Raises: NoSuchSubject; ChangeRefused for a revoked one."""
    old = key(changes, key_id)
    _check_not_revoked(old)
    return changes.put(old, msgspec.structs.replace(old, terms=terms), "api_key.updated")


def _check_owner(view: View, owner: str, project_id: str) -> None:
    account = view.one(ServiceAccount, owner)
    if account is not None and account.removed_at is None and account.project_id == project_id:
        return
    person = view.one(User, owner)
    if person is None or person.removed_at is not None:
        raise NoSuchSubject("owner")


def _check_not_revoked(old: KeyRow) -> None:
    if old.revoked_at is not None:
        raise ChangeRefused("the key is revoked", "make another: revoking is final")


def _check_usable(old: KeyRow, now: int, *, disabled: bool = False) -> None:
    _check_not_revoked(old)
    if old.disabled_at is not None and not disabled:
        raise ChangeRefused("the key is disabled", "enable it first")
    if old.expires_at is not None and old.expires_at <= now:
        raise ChangeRefused("the key has expired", "make another")
