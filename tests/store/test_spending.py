"""What budgets are filled with."""

from ollm.store.reports import Scope
from ollm.store.spending import LedgerSpending


class Asked:
    """Reports that remember what they were asked."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def spent(self, scope: Scope, start_ms: int, end_ms: int) -> int:
        self.scopes.append(scope)
        return end_ms - start_ms


async def test_each_kind_of_scope_is_asked_for_as_what_it_is() -> None:
    reports = Asked()
    spending = LedgerSpending(reports, lambda org: ("proj_a", "proj_b") if org == "org_a" else ())  # type: ignore[arg-type]
    assert await spending.spent("org_a", 0, 3_600_000) == 3_600_000
    for scope in ("org_none", "proj_a", "abcdefgh234567ab"):
        await spending.spent(scope, 0, 3_600_000)
    organisation, project, key = Scope(projects=("proj_a", "proj_b")), Scope(projects=("proj_a",)), Scope(keys=("abcdefgh234567ab",))
    assert reports.scopes == [organisation, Scope(projects=()), project, key]
