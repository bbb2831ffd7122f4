"""Rows as the API shows them: what a key's status is, and that nothing secret is shown."""

import msgspec
import pytest

from ollm.admin.objects import event_object, key_object, limit_id, status_of, user_object
from ollm.receipts.audit import logged
from ollm.values.audit import AuditEvent, chain_start
from ollm.values.identity import Role, User
from ollm.values.ledger import KeyRow
from ollm.values.terms import Limit

ROW = KeyRow("abcdefgh234567ab", "app", b"m" * 32, "tee", 10, None, None, b"r" * 32)
NOBODY: dict[str, object] = {"type": None, "user": None, "service_account": None}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "active"),
        ({"expires_at": 101}, "active"),
        ({"expires_at": 100}, "expired"),
        ({"disabled_at": 50}, "disabled"),
        ({"disabled_at": 50, "expires_at": 60}, "expired"),
        ({"disabled_at": 50, "expires_at": 60, "revoked_at": 70}, "revoked"),
    ],
)
def test_status(change: dict[str, int], status: str) -> None:
    assert status_of(msgspec.structs.replace(ROW, **change), 100) == status


def test_a_key_shows_no_mac() -> None:
    shown = key_object(ROW, 100, NOBODY, 99)
    assert shown["last_used_at"] == 99
    assert not {"mac", "row_mac", "value"} & set(shown)
    assert b"m" * 32 not in msgspec.json.encode(shown)


def test_names_without_an_address_are_no_e_mail() -> None:
    assert user_object(User("user_a", "org_a", "Ada", Role.MEMBER, 1, None, b""))["email"] is None


def test_limits_have_ids_by_model() -> None:
    assert [limit_id(Limit(parallel=1)), limit_id(Limit(model="a/b", parallel=1))] == ["rl_*", "rl_a/b"]


@pytest.mark.parametrize(("actor", "kind"), [("local_0", "session"), ("abcdefgh234567ab", "api_key")])
def test_actors(actor: str, kind: str) -> None:
    event = AuditEvent(entry=3, at=5, actor=actor, action="user.added", target="user_a", changes={"role": "viewer"})
    shown = event_object(logged(event, chain_start("00" * 16), bytes(32)))
    assert (shown["id"], shown["type"], shown["effective_at"], shown["actor"]["type"]) == ("audit_log-3", "user.added", 5, kind)
    assert shown["user.added"] == {"id": "user_a", "data": {"role": "viewer"}}
    assert shown["project"] is None
