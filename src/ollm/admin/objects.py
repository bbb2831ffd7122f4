"""Rows as OpenAI's organization API shows them; members that it doesn't have stand beside its own. No secret is ever among them."""

from collections.abc import Callable
from typing import Any

import msgspec

from ollm.receipts.audit import Logged
from ollm.store.changes import View
from ollm.values.identity import Membership, Organisation, Project, ServiceAccount, User
from ollm.values.ledger import KeyRow
from ollm.values.terms import Budget, Limit, Terms

Object = dict[str, Any]


def organisation_object(row: Organisation) -> Object:
    return {"id": row.org_id, "object": "organization", "name": row.name, "created_at": row.created_at, "terms": terms_object(row.terms)}


def project_object(row: Project) -> Object:
    status = "active" if row.archived_at is None else "archived"
    return {
        "id": row.project_id,
        "object": "organization.project",
        "name": row.name,
        "created_at": row.created_at,
        "archived_at": row.archived_at,
        "status": status,
        "terms": terms_object(row.terms),
    }


def account_object(row: ServiceAccount) -> Object:
    return {
        "id": row.account_id,
        "object": "organization.project.service_account",
        "name": row.name,
        "role": "member",
        "created_at": row.created_at,
    }


def user_object(row: User) -> Object:
    return {
        "id": row.user_id,
        "object": "organization.user",
        "name": row.name,
        "email": row.name if "@" in row.name else None,
        "role": str(row.role),
        "added_at": row.created_at,
    }


def member_object(row: Membership, user: User) -> Object:
    return {
        "id": row.user_id,
        "object": "organization.project.user",
        "name": user.name,
        "email": user.name if "@" in user.name else None,
        "role": str(row.role),
        "added_at": row.created_at,
    }


def status_of(row: KeyRow, now: int) -> str:
    """revoked, expired, disabled or active, at `now`."""
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "disabled" if row.disabled_at is not None else "active"


def owner_lookup(view: View) -> Callable[[KeyRow], Object]:
    """What says whom a key belongs to."""
    accounts = {row.account_id: row for row in view.all(ServiceAccount)}
    users = {row.user_id: row for row in view.all(User)}

    def owner(row: KeyRow) -> Object:
        account, user = accounts.get(row.owner or ""), users.get(row.owner or "")
        if account is not None:
            shown = {"id": account.account_id, "name": account.name, "role": "member", "created_at": account.created_at}
            return {"type": "service_account", "service_account": shown, "user": None}
        if user is not None:
            shown = {"id": user.user_id, "name": user.name, "email": user.name, "role": str(user.role), "created_at": user.created_at}
            return {"type": "user", "user": shown, "service_account": None}
        return {"type": None, "user": None, "service_account": None}

    return owner


def key_object(row: KeyRow, now: int, owner: Object, last_used_at: int | None, kind: str = "organization.project.api_key") -> Object:
    """A key at `now`; `owner` as `owner_lookup` says it."""
    status = status_of(row, now)
    return {
        "id": row.key_id,
        "object": kind,
        "name": row.name,
        "redacted_value": f"sk-ollm-{row.key_id}-***",
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": last_used_at,
        "owner": owner,
        "owner_project_access": "active" if status == "active" else "inactive",
        "status": status,
        "project_id": row.project_id,
        "role": row.role,
        "require": row.require,
        "terms": terms_object(row.terms),
        "disabled_at": row.disabled_at,
        "revoked_at": row.revoked_at,
        "replaces": row.replaces,
    }


def new_key_object(row: KeyRow, text: str) -> Object:
    """A key just made, with its text: the one time that it is shown."""
    return {
        "id": row.key_id,
        "object": "organization.project.service_account.api_key",
        "name": row.name,
        "value": text,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


def terms_object(terms: Terms) -> Object:
    """Terms as the configuration writes them; what isn't restricted is left out."""
    found: Object = msgspec.to_builtins(terms)
    return found


def limit_id(limit: Limit) -> str:
    """`rl_` and the model; `rl_*` is the one for all models together."""
    return f"rl_{limit.model or '*'}"


def limit_object(limit: Limit) -> Object:
    return {
        "id": limit_id(limit),
        "object": "project.rate_limit",
        "model": limit.model or "*",
        "max_requests_per_1_minute": limit.requests_per_minute,
        "max_tokens_per_1_minute": limit.tokens_per_minute,
        "max_requests_per_1_day": limit.requests_per_day,
        "max_tokens_per_1_day": limit.tokens_per_day,
        "max_parallel_requests": limit.parallel,
    }


def budget_object(budget: Budget) -> Object:
    return {"id": f"budget_{budget.window}", "object": "project.budget", **msgspec.to_builtins(budget), "window": budget.window}


def event_object(entry: Logged) -> Object:
    """An event of the audit log; its details stand under its own type, as OpenAI's do."""
    event = entry.event
    kind = event.action.rpartition(".")[2]
    details = {"id": event.target, "data" if kind in ("created", "added") else "changes_requested": event.changes}
    local = event.actor.startswith("local_")
    actor = {"type": "session", "session": {"user": {"id": event.actor}}} if local else {"type": "api_key", "api_key": {"id": event.actor}}
    return {
        "id": f"audit_log-{event.entry}",
        "object": "organization.audit_log",
        "type": event.action,
        "effective_at": event.at,
        "actor": actor,
        "project": {"id": event.project} if event.project is not None else None,
        event.action: details,
        "digest": entry.digest,
    }
