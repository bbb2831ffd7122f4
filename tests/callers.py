"""Callers as tests need them: a key without terms of its own, of the default project."""

from ollm.gateway.authenticate import Caller
from ollm.values.identity import DEFAULT_ORG, DEFAULT_PROJECT, Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.secret import Sealed
from ollm.values.standing import Standing, standing_of
from ollm.values.terms import NO_TERMS, Terms


def standing(key_id: str = "k" * 16, floor: Level = Level.TEE, role: Role = Role.MEMBER, terms: Terms = NO_TERMS) -> Standing:
    return standing_of(key_id, role, floor, {key_id: terms}, project_id=DEFAULT_PROJECT, org_id=DEFAULT_ORG)


def standing_for(row: KeyRow) -> Standing:
    """What `row` alone says."""
    return standing(row.key_id, Level(row.require), Role(row.role), row.terms)


def caller(floor: Level = Level.TEE, secret: bytes = b"", terms: Terms = NO_TERMS) -> Caller:
    return Caller(standing("k" * 16, floor, terms=terms), Sealed(secret))
