"""The table of checks is what the generations plan, in order, and no more; the provider's page says the same."""

import re
from pathlib import Path

from ollm.attest.services.tinfoil import appraise, checks

PAGE = Path(__file__).parents[4] / "docs/providers/tinfoil.md"


def test_every_check_is_planned_by_some_generation_in_the_tables_order() -> None:
    planned = {name for plan in appraise._PLANS.values() for name in plan}
    assert planned == set(checks.CHECKS)
    order = list(checks.CHECKS)
    for plan in appraise._PLANS.values():
        assert [order.index(name) for name in plan] == sorted(order.index(name) for name in plan)


def test_the_page_has_every_check_and_says_the_same_of_it() -> None:
    rows = dict(re.findall(r"^\| `(tinfoil\.[a-z_]+)` \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == {name: proof.proves for name, proof in checks.CHECKS.items()}
