"""The store's sums in the control plane's words."""

from pathlib import Path

from ollm.admin.reporting import Wanted
from ollm.app.initialise import initialise
from ollm.app.installation import store_of
from ollm.app.reports import StoreReports
from ollm.config.load import load
from ollm.values.usage import COUNTS
from tests.admin.spent import DAY, ENTRIES, KEYS, START, spend


async def test_requests_that_were_refused_are_none_of_a_providers(tmp_path: Path) -> None:
    loaded = load(initialise(tmp_path, ""))
    await spend(loaded)
    async with store_of(loaded, role="admin") as store:
        reports = StoreReports(store.reports)
        found = await reports.usage(Wanted(start=START, end=START + 3 * DAY, width=DAY))
        assert [(sums.start, sums.requests, sums.cost_micro, sums.unpriced) for sums in found] == [
            (START, 3, 101, 1),
            (START + 2 * DAY, 6, 2_500_058, 0),
        ]
        assert set(found[0].counts) == set(COUNTS)
        assert found[0].prompt_tokens == sum(entry.usage.prompt_tokens for entry in ENTRIES[:3])
        by_upstream = await reports.usage(Wanted(start=START, end=START + DAY, width=DAY, group_by=("upstream",), only={"project": ("proj_one",)}))
        assert [(sums.group, sums.requests) for sums in by_upstream] == [(("acme",), 2)]  # the refused one had none
        assert await reports.last_uses() == {KEYS[0]: START + 2 * DAY + 9, KEYS[1]: START + 3700}
