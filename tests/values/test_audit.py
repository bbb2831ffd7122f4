"""An audit event's digest covers every field of it and the digest before."""

import hashlib
import json

import msgspec
import pytest

from ollm.errors import WireError
from ollm.values.audit import ACTIONS, AuditEvent, chain_start
from ollm.values.hexes import Hex32

EVENT = AuditEvent(
    entry=7,
    at=1_750_000_000,
    actor="abcdefgh234567ab",
    action="project.updated",
    target="proj_abcdefgh234567ab",
    project="proj_abcdefgh234567ab",
    changes={"name": "Payroll"},
)
BEFORE = Hex32("9f" * 32)


def test_the_digest_is_that_of_the_documented_form() -> None:
    document = {
        "action": "project.updated",
        "actor": "abcdefgh234567ab",
        "at": 1_750_000_000,
        "changes": {"name": "Payroll"},
        "entry": 7,
        "previous": BEFORE,
        "project": "proj_abcdefgh234567ab",
        "target": "proj_abcdefgh234567ab",
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    assert EVENT.digest(BEFORE) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change", [{"entry": 8}, {"at": 1}, {"actor": "local_0"}, {"action": "project.created"}, {"target": "x"}, {"project": None}, {"changes": {}}]
)
def test_every_field_is_covered(change: dict[str, object]) -> None:
    assert msgspec.structs.replace(EVENT, **change).digest(BEFORE) != EVENT.digest(BEFORE)


def test_the_digest_before_is_covered() -> None:
    assert EVENT.digest(Hex32("00" * 32)) != EVENT.digest(BEFORE)


def test_a_value_without_a_canonical_form_has_no_digest() -> None:
    with pytest.raises(WireError, match="without a canonical form"):
        msgspec.structs.replace(EVENT, changes={"share": 0.5}).digest(BEFORE)


def test_each_installation_has_a_start_of_its_own() -> None:
    assert chain_start("00" * 16) != chain_start("01" + "00" * 15)
    assert len(chain_start("00" * 16)) == 64


def test_actions_are_named_once_in_characters_that_the_store_takes() -> None:
    assert len(set(ACTIONS)) == len(ACTIONS)
    assert all(set(action) <= set("abcdefghijklmnopqrstuvwxyz_.") for action in ACTIONS)
