"""Rows that are kept about a request. No field can hold content: ids we mint, names from config, enums, numbers."""

import enum
from typing import Any

import msgspec

from ollm.values.identity import DEFAULT_PROJECT
from ollm.values.terms import NO_TERMS, Terms
from ollm.values.usage import Usage


class Status(enum.StrEnum):
    COMPLETED = "completed"  # the whole answer was handed to the client
    CLIENT_GONE = "client_gone"  # the client left first, or its key ended first (http_status 401); usage may be an estimate
    UPSTREAM_FAILED = "upstream_failed"
    REFUSED = "refused"  # no verified route; nothing of the prompt left
    LOST = "lost"  # the gateway died between intent and completion; found at the next start


class Intent(msgspec.Struct, frozen=True, gc=False):
    """Written before the first upstream byte; must survive kill -9 of the process."""

    request_id: str
    key_id: str
    model: str  # name of a configured model
    upstream: str  # name of a configured upstream
    level: str
    session_id: str | None  # None on a route without attestation
    started_ms: int  # Unix milliseconds
    project: str = DEFAULT_PROJECT  # of the key
    reserved_micro: int | None = None  # held back from budgets: what the request costs if nobody lives to say what it did; None: nothing was


class Entry(msgspec.Struct, frozen=True, gc=False):
    """The one final row of a request; must survive power loss (durability "full") before the last answer byte."""

    request_id: str
    key_id: str
    endpoint: str  # a matched route, such as chat.completions
    model: str | None  # None when the client named no configured model
    upstream: str | None
    level: str | None
    session_id: str | None
    status: Status
    http_status: int
    streamed: bool
    started_ms: int
    usage: Usage
    cost_micro: int | None  # None: price unknown
    price_version: str | None
    verify_us: int  # waiting for a verified session
    headers_us: int  # upstream request sent until its response headers
    first_us: int  # upstream request sent until its first body byte
    total_us: int  # request accepted until the last answer byte was handed over
    receipt: bytes | None  # sealed under a key of the caller's; None when no receipt is due
    project: str = DEFAULT_PROJECT  # of the key
    reserved_micro: int | None = None  # held back from budgets when the request began; None: nothing was


def lost_entry(
    request_id: str,
    *,
    key_id: str,
    project: str,
    endpoint: str,
    model: str,
    upstream: str | None = None,
    level: str | None = None,
    session_id: str | None = None,
    started_ms: int,
    reserved_micro: int | None,
    total_us: int = 0,
) -> Entry:
    """The row of a request that its worker didn't live to complete. It costs what was reserved for it; what isn't known is zero, and marked."""
    return Entry(
        request_id=request_id,
        key_id=key_id,
        endpoint=endpoint,
        model=model,
        upstream=upstream,
        level=level,
        session_id=session_id,
        status=Status.LOST,
        http_status=0,
        streamed=False,
        started_ms=started_ms,
        usage=Usage(estimated=True),
        cost_micro=reserved_micro,
        price_version=None,
        verify_us=0,
        headers_us=0,
        first_us=0,
        total_us=total_us,
        receipt=None,
        project=project,
        reserved_micro=reserved_micro,
    )


class KeyRow(msgspec.Struct, frozen=True):
    """What is kept of an API key: never the secret."""

    key_id: str
    name: str
    mac: bytes  # HMAC-SHA-256(pepper, secret)
    require: str  # lowest level that may serve it; the configuration's floor tightens it further
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    row_mac: bytes  # HMAC over all other columns under a key that the store does not hold
    project_id: str = DEFAULT_PROJECT
    owner: str | None = None  # the service account or the person that it belongs to
    role: str = "member"
    terms: Terms = NO_TERMS
    disabled_at: int | None = None  # refused from then on, until it is enabled again
    replaces: str | None = None  # the key that it was made to take the place of

    def __repr__(self) -> str:
        return f"KeyRow({self.key_id!r}, {self.name!r}, require={self.require!r}, role={self.role!r}, mac=<hidden>)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("key_id", self.key_id), ("name", self.name), ("require", self.require), ("role", self.role)]
