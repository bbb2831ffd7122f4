"""What a key may do: everything above it together."""

import pytest

from ollm.values.identity import Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.standing import Credential, standing_of
from ollm.values.terms import NO_TERMS, Terms

IDS = {"project_id": "proj_default", "org_id": "org_default"}


def test_a_key_without_terms_is_restricted_by_its_level_alone() -> None:
    found = standing_of("key", Role.MEMBER, Level.ZDR, {"org": NO_TERMS, "proj": NO_TERMS, "key": NO_TERMS}, **IDS)
    assert (found.floor, found.scopes, found.rules, found.models) == (Level.ZDR, (), (), None)
    assert found.reachable_from("192.0.2.1")
    assert found.reachable_from("")


def test_all_terms_hold_together() -> None:
    above = {
        "org": Terms(require=Level.ZDR, models=("a", "b"), rules=("base",), max_request_micro=10),
        "proj": Terms(models=("b", "c"), endpoints=(), rules=("base", "strict"), max_request_micro=5),
        "key": Terms(upstreams=("one",)),
    }
    found = standing_of("key", Role.MEMBER, Level.SIMULATED, above, **IDS)
    assert found.floor is Level.ZDR
    assert (found.models, found.upstreams, found.endpoints) == (frozenset({"b"}), frozenset({"one"}), frozenset())
    assert found.rules == ("base", "strict")
    assert found.max_request_micro == 5
    assert [scope for scope, _ in found.scopes] == ["org", "proj", "key"]


@pytest.mark.parametrize(
    ("address", "reachable"),
    [("10.1.2.3", True), ("10.2.0.1", False), ("192.168.0.1", False), ("::ffff:10.1.0.9", True), ("2001:db8::1", False), ("", False), ("x", False)],
)
def test_networks_of_all_terms_have_to_hold_the_address(address: str, reachable: bool) -> None:
    above = {"org": Terms(networks=("10.0.0.0/8", "2001:db8::/32")), "key": Terms(networks=("10.1.0.0/16",))}
    assert standing_of("key", Role.MEMBER, Level.TEE, above, **IDS).reachable_from(address) is reachable


@pytest.mark.parametrize(
    ("row", "stands"),
    [({}, True), ({"expires_at": 101}, True), ({"expires_at": 100}, False), ({"revoked_at": 200}, False), ({"disabled_at": 50}, False)],
)
def test_a_credential_stands_until_one_of_its_ends(row: dict[str, int], stands: bool) -> None:
    ends: dict[str, int | None] = {"expires_at": None, "revoked_at": None, **row}
    kept = KeyRow(key_id="k" * 16, name="test", mac=b"", require="tee", created_at=1, row_mac=b"", **ends)  # type: ignore[arg-type]  # by name
    found = standing_of("k" * 16, Role.MEMBER, Level.TEE, {}, **IDS)
    assert (Credential(kept, found).standing_at(100) is found) is stands
    assert Credential(kept, None).standing_at(100) is None
