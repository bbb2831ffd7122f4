"""What an administrator did, as the audit log keeps it: who, what, to whom, when, and which fields became what.

    {"action":"project.updated","actor":"abcdefgh234567ab","at":1750000000,"changes":{"name":"Payroll"},"entry":7,"previous":"9f…",
     "project":"proj_abcdefgh234567ab","target":"proj_abcdefgh234567ab"}

An event's digest is SHA-256 over the canonical form (RFC 8785) of that document. `previous` is the digest of the event before, so each
digest covers all events up to its own. No field can hold content: ids that we mint, names of restricted characters, numbers.
"""

import hashlib
from typing import Any

import msgspec

from ollm.values.hexes import Hex32
from ollm.values.jcs import canonical
from ollm.values.structs import resolved

# OpenAI's event types where it has one (Audit logs API); rotated, disabled, enabled and those of terms and budgets are ours.
ACTIONS = (
    *("organization.updated", "organization.terms.updated"),
    *("project.created", "project.updated", "project.archived", "project.terms.updated"),
    *("rate_limit.updated", "rate_limit.deleted", "budget.updated"),
    *("service_account.created", "service_account.updated", "service_account.deleted"),
    *("api_key.created", "api_key.updated", "api_key.deleted", "api_key.rotated", "api_key.disabled", "api_key.enabled"),
    *("user.added", "user.updated", "user.deleted"),
    *("role.assignment.created", "role.assignment.updated", "role.assignment.deleted"),
)


@resolved
class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    entry: int  # 1, 2, 3 …
    at: int  # Unix seconds
    actor: str  # a key's id, or "local_" and the number of a user of the machine
    action: str
    target: str  # id of what was changed
    project: str | None = None  # in which project, where it is in one
    changes: dict[str, Any] = {}  # field → what it is now

    def digest(self, previous: Hex32) -> Hex32:
        """SHA-256 over all fields and the digest before. Raises: WireError when `changes` has no canonical form."""
        return Hex32(hashlib.sha256(canonical({**msgspec.to_builtins(self), "previous": previous})).hexdigest())


def chain_start(installation_id: str) -> Hex32:
    """What stands before the first event of an installation: another one's log can't take its place."""
    return Hex32(hashlib.sha256(b"ollm.audit.v1\0" + installation_id.encode()).hexdigest())
