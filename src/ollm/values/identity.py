"""Who stands behind a request: organisations have projects, projects have keys of people and of service accounts.

Times are Unix seconds. Each row carries a MAC over its other columns, under a key that the store doesn't hold (`store.subjects`).
"""

import enum

import msgspec

from ollm.values.terms import Terms


class Role(enum.StrEnum):
    """What a credential or a person may do. Each route names the roles that it serves; a role that isn't named is refused."""

    OWNER = "owner"  # an admin who may also appoint admins
    ADMIN = "admin"  # changes projects, keys, terms
    MEMBER = "member"  # calls models
    VIEWER = "viewer"  # reads usage and costs
    AUDITOR = "auditor"  # reads everything that is kept, changes nothing


class Organisation(msgspec.Struct, frozen=True):
    org_id: str  # "org_" and 16 characters
    name: str
    terms: Terms
    created_at: int
    archived_at: int | None
    row_mac: bytes


class Project(msgspec.Struct, frozen=True):
    project_id: str  # "proj_" and 16 characters
    org_id: str
    name: str
    terms: Terms
    created_at: int
    archived_at: int | None  # its keys are refused from then on
    row_mac: bytes


class ServiceAccount(msgspec.Struct, frozen=True):
    """What owns keys and is no person."""

    account_id: str  # "svc_" and 16 characters
    project_id: str
    name: str
    created_at: int
    removed_at: int | None
    row_mac: bytes


class User(msgspec.Struct, frozen=True):
    """A person of an organisation. In a project, a person's role is the one of `Membership`."""

    user_id: str  # "user_" and 16 characters
    org_id: str
    name: str  # or an e-mail address
    role: Role
    created_at: int
    removed_at: int | None
    row_mac: bytes


class Membership(msgspec.Struct, frozen=True):
    project_id: str
    user_id: str
    role: Role
    created_at: int
    row_mac: bytes


DEFAULT_ORG = "org_default"
DEFAULT_PROJECT = "proj_default"
