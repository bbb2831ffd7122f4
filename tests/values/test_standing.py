"""What a key may do: everything above it together."""

import pytest

from ollm.values.identity import Role
from ollm.values.level import Level
from ollm.values.standing import standing_of
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
