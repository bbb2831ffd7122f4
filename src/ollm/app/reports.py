"""What the control plane asks of the store's sums."""

from collections.abc import Mapping, Sequence

from ollm.admin.reporting import Sums, Wanted
from ollm.store.sqlite import Store


class StoreReports:
    """admin.reporting.Reports over a store."""

    def __init__(self, store: Store) -> None:
        self._sums = store.sums

    async def usage(self, wanted: Wanted) -> Sequence[Sums]:
        rows = await self._sums.usage(wanted.start, wanted.end, wanted.width, wanted.group_by, wanted.only)
        return [
            Sums(
                start=row.start,
                group=row.group,
                requests=row.requests,
                estimated=row.estimated,
                unpriced=row.unpriced,
                cost_micro=row.cost_micro,
                counts=row.counts,
            )
            for row in rows
        ]

    async def last_uses(self) -> Mapping[str, int]:
        return await self._sums.last_used()
