"""What a key may do: the terms of everything that stands above it and its own, put together."""

import ipaddress
from collections.abc import Iterable, Mapping

import msgspec

from ollm.values.identity import Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level, strictest
from ollm.values.terms import NO_TERMS, Terms

Addresses = ipaddress.IPv4Network | ipaddress.IPv6Network


class Standing(msgspec.Struct, frozen=True):
    """What a key may do: everything that stands above it and on it, put together once for all of its requests."""

    key_id: str
    project_id: str
    org_id: str
    role: Role
    floor: Level
    scopes: tuple[tuple[str, Terms], ...]  # organisation, project, key: those that have terms
    rules: tuple[str, ...] = ()
    models: frozenset[str] | None = None  # None: all of them
    upstreams: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    networks: tuple[tuple[Addresses, ...], ...] = ()  # an address has to be in one of each
    max_request_micro: int | None = None

    def reachable_from(self, address: str) -> bool:
        """Whether requests may come from `address`; one that can't be read is nowhere."""
        if not self.networks:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return all(any(found in network for network in allowed) for allowed in self.networks)


class Place(msgspec.Struct, frozen=True):
    """A project that isn't archived, and what stands above its callers: id → terms, the organisation's first."""

    project_id: str
    org_id: str
    above: Mapping[str, Terms]


class Credential(msgspec.Struct, frozen=True):
    """A key's row, and what it may do. `standing` is None where something above it is gone: its project, its owner."""

    row: KeyRow
    standing: Standing | None

    def standing_at(self, now: int) -> Standing | None:
        """What it may do at `now` (Unix seconds); None where it was revoked or disabled, or its time is over, too."""
        row = self.row
        if row.revoked_at is not None or row.disabled_at is not None or (row.expires_at is not None and row.expires_at <= now):
            return None
        return self.standing


def standing_of(key_id: str, role: Role, require: Level, above: Mapping[str, Terms], *, project_id: str, org_id: str) -> Standing:
    """`above`: id → terms of organisation, project and key, in that order."""
    terms = list(above.values())
    bounds = [each.max_request_micro for each in terms if each.max_request_micro is not None]
    return Standing(
        key_id=key_id,
        project_id=project_id,
        org_id=org_id,
        role=role,
        floor=strictest(require, *(each.require for each in terms if each.require is not None)),
        scopes=tuple((scope, each) for scope, each in above.items() if each != NO_TERMS),
        rules=tuple(dict.fromkeys(name for each in terms for name in each.rules)),
        models=_common(each.models for each in terms),
        upstreams=_common(each.upstreams for each in terms),
        endpoints=_common(each.endpoints for each in terms),
        networks=tuple(tuple(ipaddress.ip_network(text, strict=False) for text in each.networks) for each in terms if each.networks is not None),
        max_request_micro=min(bounds, default=None),
    )


def _common(lists: Iterable[tuple[str, ...] | None]) -> frozenset[str] | None:
    """Names that all of `lists` hold; None where none of them restricts anything."""
    found = [frozenset(names) for names in lists if names is not None]
    return frozenset.intersection(*found) if found else None
