"""What the control plane asks of the store's sums, in the store's words."""

from collections.abc import Mapping, Sequence

from ollm.admin.reporting import Sums, Wanted
from ollm.store.reports import SECONDS, Question, Reports
from ollm.values.usage import COUNTS

_BUCKETS = {seconds: bucket for bucket, seconds in SECONDS.items()}


class StoreReports:
    """admin.reporting.Reports over a store's. Requests that were refused before anything left are none of a provider's."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    async def usage(self, wanted: Wanted) -> Sequence[Sums]:
        question = Question(
            start=wanted.start,
            end=wanted.end,
            bucket=_BUCKETS[wanted.width],
            group_by=wanted.group_by,
            filters=wanted.only,
            buckets=(wanted.end - wanted.start) // wanted.width,
        )
        found = []
        for row in (await self._reports.usage(question)).rows:
            requests = row.requests - row.refused
            if requests == 0:
                continue
            found.append(
                Sums(
                    start=row.start,
                    group=tuple(getattr(row, name) for name in wanted.group_by),
                    requests=requests,
                    estimated=row.estimated,
                    unpriced=row.unpriced,
                    cost_micro=row.cost_micro,
                    counts={name: getattr(row, name) for name in COUNTS},
                )
            )
        return found

    async def last_uses(self) -> Mapping[str, int]:
        return {key: at // 1000 for key, at in (await self._reports.last_uses()).items()}
