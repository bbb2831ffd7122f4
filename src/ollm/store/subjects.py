"""Rows of what stands above a key, and their MACs.

As with keys, a row's MAC covers all its other columns under a key that the store doesn't hold: whoever can write the database can
withhold a row or bring back an older one, but can't widen what anybody may do.
"""

import hmac
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table

from ollm.store import schema
from ollm.values.identity import Membership, Organisation, Project, ServiceAccount, User
from ollm.values.ledger import KeyRow
from ollm.values.terms import NO_TERMS, Terms

Subject = TypeVar("Subject", KeyRow, Organisation, Project, ServiceAccount, User, Membership)

TABLES: dict[type[Any], Table] = {
    KeyRow: schema.api_keys,
    Organisation: schema.organisations,
    Project: schema.projects,
    ServiceAccount: schema.service_accounts,
    User: schema.users,
    Membership: schema.memberships,
}
_terms = msgspec.json.Decoder(Terms).decode


def columns_of(subject: msgspec.Struct) -> dict[str, Any]:
    """Column → value of the row of `subject`."""
    return {name: _plain(getattr(subject, name)) for name in subject.__struct_fields__}


def subject_of(kind: type[Subject], row: Sequence[Any]) -> Subject:
    """The value in `row`, whose columns are the fields of `kind` in their order. Terms that are none make a row that isn't authentic."""
    values = dict(zip(kind.__struct_fields__, row, strict=True))
    if "terms" in values:
        try:
            values["terms"] = _terms(values["terms"])
        except msgspec.DecodeError:
            values |= {"terms": NO_TERMS, "row_mac": b""}
    return kind(**values)


def row_mac(subject: msgspec.Struct, row_key: bytes) -> bytes:
    """HMAC-SHA-256 over all columns of the row but `row_mac`, as a JSON array, which has one reading."""
    values = [value.hex() if isinstance(value, bytes) else value for name, value in columns_of(subject).items() if name != "row_mac"]
    label = f"ollm.store.{TABLES[type(subject)].name}.v2\0".encode()
    return hmac.digest(row_key, label + msgspec.json.encode(values), "sha256")


def authenticated(subject: Subject, row_key: bytes) -> Subject:
    """`subject` with the MAC that its other columns call for."""
    return msgspec.structs.replace(subject, row_mac=row_mac(subject, row_key))


def is_authentic(subject: Subject, row_key: bytes) -> bool:
    """Whether the row's MAC is the one that its other columns call for."""
    return hmac.compare_digest(row_mac(subject, row_key), subject.row_mac)


def _plain(value: object) -> object:
    """`value` as a column holds it."""
    if isinstance(value, Terms):
        return msgspec.json.encode(value).decode()
    return str(value) if isinstance(value, str) else value  # enums of text as text
