"""Every route of the control plane, and the roles that it serves. What isn't in this table can't be asked; the reference page is made from it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from ollm.admin import audit, exports, keys, people, projects, usage, views
from ollm.admin.call import Answer, Call
from ollm.admin.reporting import KINDS
from ollm.values.identity import Role

Handler = Callable[[Call], Awaitable[Answer]]


class Way(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    roles: frozenset[Role]
    handle: Handler
    says: str  # in one line


OWNERS = frozenset({Role.OWNER})  # appoint administrators
WRITERS = frozenset({Role.OWNER, Role.ADMIN})
READERS = frozenset({Role.OWNER, Role.ADMIN, Role.AUDITOR})
REPORTERS = frozenset({Role.OWNER, Role.ADMIN, Role.AUDITOR, Role.VIEWER})

_ORG = "/v1/organization"
_PROJECT = f"{_ORG}/projects/{{project}}"
_KEY = f"{_ORG}/api_keys/{{key}}"


def _way(method: str, path: str, roles: frozenset[Role], handle: Handler) -> Way:
    function = handle.func if isinstance(handle, partial) else handle
    return Way(method, path, roles, handle, (function.__doc__ or "").strip().partition("\n")[0])


ROUTES: tuple[Way, ...] = (
    _way("GET", _ORG, READERS, projects.show_organisation),
    _way("POST", _ORG, WRITERS, projects.change_organisation),
    _way("POST", f"{_ORG}/terms", WRITERS, projects.set_organisation_terms),
    _way("GET", f"{_ORG}/projects", READERS, projects.list_projects),
    _way("POST", f"{_ORG}/projects", WRITERS, projects.create_project),
    _way("GET", _PROJECT, READERS, projects.show_project),
    _way("POST", _PROJECT, WRITERS, projects.change_project),
    _way("POST", f"{_PROJECT}/archive", WRITERS, projects.archive_project),
    _way("GET", f"{_PROJECT}/terms", READERS, projects.show_terms),
    _way("POST", f"{_PROJECT}/terms", WRITERS, projects.set_terms),
    _way("GET", f"{_PROJECT}/budgets", READERS, projects.list_budgets),
    _way("POST", f"{_PROJECT}/budgets", WRITERS, projects.set_budgets),
    _way("GET", f"{_PROJECT}/rate_limits", READERS, projects.list_limits),
    _way("POST", f"{_PROJECT}/rate_limits/{{limit:path}}", WRITERS, projects.change_limit),
    _way("DELETE", f"{_PROJECT}/rate_limits/{{limit:path}}", WRITERS, projects.remove_limit),
    _way("GET", f"{_PROJECT}/api_keys", READERS, keys.list_keys),
    _way("POST", f"{_PROJECT}/api_keys", WRITERS, keys.create_key),
    _way("GET", f"{_PROJECT}/api_keys/{{key}}", READERS, keys.show_project_key),
    _way("POST", f"{_PROJECT}/api_keys/{{key}}", WRITERS, keys.change_project_key),
    _way("DELETE", f"{_PROJECT}/api_keys/{{key}}", WRITERS, keys.revoke_project_key),
    _way("GET", f"{_PROJECT}/service_accounts", READERS, people.list_accounts),
    _way("POST", f"{_PROJECT}/service_accounts", WRITERS, people.create_account),
    _way("GET", f"{_PROJECT}/service_accounts/{{account}}", READERS, people.show_account),
    _way("POST", f"{_PROJECT}/service_accounts/{{account}}", WRITERS, people.change_account),
    _way("DELETE", f"{_PROJECT}/service_accounts/{{account}}", WRITERS, people.remove_account),
    _way("POST", f"{_PROJECT}/service_accounts/{{account}}/api_keys", WRITERS, keys.create_account_key),
    _way("GET", f"{_PROJECT}/users", READERS, people.list_members),
    _way("POST", f"{_PROJECT}/users", WRITERS, people.add_member),
    _way("GET", f"{_PROJECT}/users/{{user}}", READERS, people.show_member),
    _way("POST", f"{_PROJECT}/users/{{user}}", WRITERS, people.change_member),
    _way("DELETE", f"{_PROJECT}/users/{{user}}", WRITERS, people.remove_member),
    _way("GET", f"{_ORG}/users", READERS, people.list_users),
    _way("POST", f"{_ORG}/users", WRITERS, people.add_user),
    _way("GET", f"{_ORG}/users/{{user}}", READERS, people.show_user),
    _way("POST", f"{_ORG}/users/{{user}}", WRITERS, people.change_user),
    _way("DELETE", f"{_ORG}/users/{{user}}", WRITERS, people.remove_user),
    _way("GET", f"{_ORG}/admin_api_keys", READERS, keys.list_admin_keys),
    _way("POST", f"{_ORG}/admin_api_keys", OWNERS, keys.create_admin_key),
    _way("GET", f"{_ORG}/admin_api_keys/{{key}}", READERS, keys.show_key),
    _way("DELETE", f"{_ORG}/admin_api_keys/{{key}}", OWNERS, keys.revoke_admin_key),
    _way("GET", _KEY, READERS, keys.show_key),
    _way("POST", _KEY, WRITERS, keys.change_key),
    _way("DELETE", _KEY, WRITERS, keys.revoke_key),
    _way("POST", f"{_KEY}/rotate", WRITERS, keys.rotate_key),
    _way("POST", f"{_KEY}/disable", WRITERS, keys.disable_key),
    _way("POST", f"{_KEY}/enable", WRITERS, keys.enable_key),
    _way("GET", f"{_ORG}/audit_logs", READERS, audit.list_events),
    *(_way("GET", f"{_ORG}/usage/{kind}", REPORTERS, partial(usage.show_usage, kind)) for kind in KINDS),
    _way("GET", f"{_ORG}/costs", REPORTERS, usage.show_costs),
    _way("GET", f"{_ORG}/policies", READERS, views.list_policies),
    _way("GET", f"{_ORG}/routes", READERS, views.list_routes),
    _way("GET", f"{_ORG}/providers", READERS, views.list_providers),
    *(_way("GET", f"{_ORG}/export/usage.{form}", REPORTERS, partial(exports.export_usage, form)) for form in ("csv", "jsonl")),
    *(_way("GET", f"{_ORG}/export/ledger.{form}", READERS, partial(exports.export_ledger, form)) for form in ("csv", "jsonl")),
    *(_way("GET", f"{_ORG}/export/audit.{form}", READERS, partial(exports.export_audit, form)) for form in ("csv", "jsonl")),
)
