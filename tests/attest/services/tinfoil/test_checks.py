"""The table of checks is what the generations plan, in order, and no more."""

from ollm.attest.services.tinfoil import appraise, checks


def test_every_check_is_planned_by_some_generation_in_the_tables_order() -> None:
    planned = {name for plan in appraise._PLANS.values() for name in plan}
    assert planned == set(checks.CHECKS)
    order = list(checks.CHECKS)
    for plan in appraise._PLANS.values():
        assert [order.index(name) for name in plan] == sorted(order.index(name) for name in plan)
