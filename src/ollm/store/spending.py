"""ports.Spending: what budgets are filled with when their counters are new, from roll-ups and the ledger's tail."""

from collections.abc import Callable

from ollm.store.reports import Reports, Scope


class LedgerSpending:
    """`projects_of` tells an organisation's projects."""

    def __init__(self, reports: Reports, projects_of: Callable[[str], tuple[str, ...]]) -> None:
        self._reports = reports
        self._projects_of = projects_of

    async def spent(self, scope: str, start_ms: int, end_ms: int) -> int:
        return await self._reports.spent(self._scope(scope), start_ms, end_ms)

    def _scope(self, scope: str) -> Scope:
        if scope.startswith("org_"):
            return Scope(projects=self._projects_of(scope))
        return Scope(projects=(scope,)) if scope.startswith("proj_") else Scope(keys=(scope,))
