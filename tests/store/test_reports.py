"""Usage and costs: what is rolled up and what isn't yet, together, by any groups and spans."""

import asyncio
from typing import Any

import pytest

from ollm.errors import StoreError
from ollm.store.reports import Question, Reports, Scope
from ollm.store.rollups import Roller
from ollm.store.sqlite import Store
from ollm.values.ledger import Status
from ollm.values.usage import COUNTS, Usage
from tests.store.making import START, Database, entry, request_id

HOUR, DAY = 3600, 86_400
FIRST = START // 1000 // DAY * DAY


async def written(store: Store, at: int, count: int = 1, **changed: Any) -> None:
    """`count` entries that began `at` seconds after FIRST."""
    ms = (FIRST + at) * 1000
    await asyncio.gather(*(store.ledger.complete(entry(request_id(ms), started_ms=ms, **changed)) for _ in range(count)))


async def a_week(store: Store) -> None:
    """Half of it rolled up, half of it not."""
    await written(store, 0, 2, model="a", key_id="k1", project="proj_x", cost_micro=10)
    await written(store, HOUR, 3, model="b", key_id="k2", project="proj_x", cost_micro=100)
    await written(store, DAY, 1, model="a", key_id="k2", project="proj_y", cost_micro=1000, usage=Usage(tier="flex", output_tokens=5))
    Roller(store.engine).run()
    await written(store, DAY + 5, 1, model="a", key_id="k1", project="proj_x", cost_micro=None)
    await written(store, 5 * DAY, 4, model=None, key_id="k2", project="proj_y", status=Status.REFUSED, cost_micro=0, upstream=None, level=None)


async def told(reports: Reports, *shown: str, **asked: Any) -> list[tuple[Any, ...]]:
    page = await reports.usage(Question(**({"start": FIRST, "end": FIRST + 7 * DAY} | asked)))
    return [((row.start - FIRST) // HOUR, *(getattr(row, name) for name in shown)) for row in page.rows]


async def test_reports_hold_what_is_rolled_up_and_what_is_not(database: Database) -> None:
    async with database.open() as store:
        await a_week(store)
        reports = Reports(store.engine)
        by_day = [(0, 5, 320), (24, 2, 1000), (120, 4, 0)]
        assert await told(reports, "requests", "cost_micro") == by_day
        assert await reports.behind() == 5
        Roller(store.engine).run()
        assert await reports.behind() == 0
        assert await told(reports, "requests", "cost_micro") == by_day
        assert await told(reports, "requests", bucket="1h", buckets=1000) == [(0, 2), (1, 3), (24, 2), (120, 4)]


async def test_groups_and_filters(database: Database) -> None:
    async with database.open() as store:
        await a_week(store)
        reports = Reports(store.engine)
        by_model = await told(reports, "model", "requests", group_by=("model",))
        assert by_model == [(0, "b", 3), (0, "a", 2), (24, "a", 2), (120, None, 4)]
        both = await told(reports, "key", "project", "requests", group_by=("key", "project"), filters={"model": ["a"]})
        assert both == [(0, "k1", "proj_x", 2), (24, "k1", "proj_x", 1), (24, "k2", "proj_y", 1)]
        assert await told(reports, "tier", "level", "output_tokens", group_by=("tier", "level"), filters={"tier": ["flex"]}) == [
            (24, "flex", "tee", 5)
        ]
        assert await told(reports, "requests", filters={"project": ["proj_x", "proj_y"], "key": ["k2"]}) == [(0, 3), (24, 1), (120, 4)]
        assert await told(reports, "requests", filters={"project": ["unknown"]}) == []
        assert await told(reports, "upstream", "endpoint", "refused", group_by=("upstream", "endpoint"), start=FIRST + 5 * DAY) == [
            (120, None, "chat.completions", 4)
        ]


@pytest.mark.parametrize("rolled", [False, True], ids=["from entries", "from sums"])
async def test_sums_by_model(rolled: bool, store: Store) -> None:
    usage = Usage(input_tokens=10, cached_tokens=1, output_tokens=5)
    await written(store, 0, model="a", usage=usage, cost_micro=100)
    await written(store, 0, model="a", usage=usage, cost_micro=None)
    await written(store, 0, model="a", usage=Usage(), cost_micro=None, status=Status.UPSTREAM_FAILED)
    await written(store, DAY, model="b", usage=usage, cost_micro=7)
    if rolled:
        Roller(store.engine).run()
    figures = ("model", "requests", "completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "cost_micro", "unpriced", "estimated")
    assert await told(Reports(store.engine), *figures, group_by=("model",)) == [
        (0, "a", 3, 2, 1, 20, 2, 10, 100, 1, 0),
        (24, "b", 1, 1, 0, 10, 1, 5, 7, 0, 0),
    ]
    assert await told(Reports(store.engine), "model", group_by=("model",), start=FIRST + DAY) == [(24, "b")]


@pytest.mark.parametrize("rolled", [False, True], ids=["from entries", "from sums"])
async def test_every_count_adds_up_under_its_own_name(rolled: bool, store: Store) -> None:
    for number, flags in enumerate(({"estimated": True}, {"count_mismatch": True}, {})):
        counts = {count: 100 * number + place for place, count in enumerate(COUNTS)}
        await written(store, 0, model="a", usage=Usage(**counts, **flags), cost_micro=None)  # type: ignore[arg-type]
    if rolled:
        Roller(store.engine).run()
    [row] = await told(Reports(store.engine), *COUNTS, "unpriced", "estimated", "mismatched")
    assert row == (0, *(300 + 3 * place for place in range(len(COUNTS))), 3, 1, 1)


async def test_pictures_without_tokens_are_unpriced_too(store: Store) -> None:
    for usage in (Usage(images=1), Usage(audio_ms=1), Usage(characters=1), Usage()):
        await written(store, 0, model="a", usage=usage, cost_micro=None)
    assert await told(Reports(store.engine), "unpriced") == [(0, 3)]


async def test_by_the_minute_the_ledger_itself_is_asked(database: Database) -> None:
    async with database.open() as store:
        await a_week(store)
        await written(store, 61, 2, model="a")
        page = await Reports(store.engine).usage(Question(start=FIRST, end=FIRST + 2 * HOUR, bucket="1m", buckets=1440, group_by=("model",)))
        assert [(row.start - FIRST, row.model, row.requests) for row in page.rows] == [(0, "a", 2), (60, "a", 2), (3600, "b", 3)]


async def test_pages_follow_each_other(database: Database) -> None:
    async with database.open() as store:
        await a_week(store)
        reports = Reports(store.engine)
        start: int | None = FIRST
        seen = []
        while start is not None:
            page = await reports.usage(Question(start=start, end=FIRST + 7 * DAY, buckets=2))
            seen += [(row.start, row.requests) for row in page.rows]
            start = page.next_start
        assert seen == [(FIRST, 5), (FIRST + DAY, 2), (FIRST + 5 * DAY, 4)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"start": FIRST + 1, "end": FIRST + DAY}, "borders of its buckets"),
        ({"start": FIRST, "end": FIRST}, "borders of its buckets"),
        ({"start": FIRST, "end": FIRST + DAY, "buckets": 0}, "1 to 1440"),
        ({"start": FIRST, "end": FIRST + 2 * DAY, "bucket": "1m"}, "a day at most"),
    ],
)
async def test_questions_without_an_answer_are_refused(store: Store, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        await Reports(store.engine).usage(Question(**asked))


async def test_what_was_spent_in_a_window_by_scope(database: Database) -> None:
    async with database.open() as store:
        await a_week(store)
        await written(store, 2 * DAY + 3 * HOUR, 1, key_id="k1", project="proj_y", cost_micro=7)
        reports = Reports(store.engine)

        async def spent(scope: Scope, start: int, end: int) -> int:
            return await reports.spent(scope, (FIRST + start) * 1000, (FIRST + end) * 1000)

        for _ in range(2):
            assert await spent(Scope(), 0, 7 * DAY) == 1327
            assert await spent(Scope(), HOUR, 2 * DAY + 4 * HOUR) == 1307
            assert await spent(Scope(), HOUR, 2 * HOUR) == 300
            assert await spent(Scope(keys=("k2",)), 0, 7 * DAY) == 1300
            assert await spent(Scope(projects=("proj_x", "proj_y")), 0, DAY) == 320
            assert await spent(Scope(projects=("proj_y",)), DAY, 3 * DAY) == 1007
            assert await spent(Scope(projects=()), 0, 7 * DAY) == 0
            Roller(store.engine).run()
        with pytest.raises(StoreError, match="full hours"):
            await spent(Scope(), 0, 5)


async def test_when_keys_were_last_used(database: Database) -> None:
    async with database.open() as store:
        await a_week(store)
        reports = Reports(store.engine)
        for _ in range(2):
            assert await reports.last_uses() == {"k1": (FIRST + DAY + 5) * 1000, "k2": (FIRST + 5 * DAY) * 1000}
            Roller(store.engine).run()


async def test_sums_and_tail_are_the_ledger_while_everybody_works(database: Database) -> None:
    """Entries come and roll-ups run; whoever asks meanwhile sees each entry once."""
    async with database.open() as store:
        reports, roller = Reports(store.engine), Roller(store.engine, batch=9)
        seen: list[int] = []
        over = False

        async def write() -> None:
            for _ in range(20):
                await written(store, 0, 10)

        async def roll() -> None:
            while not over:
                await asyncio.to_thread(roller.run)

        async def ask() -> None:
            while not over:
                seen.append(sum(row.requests for row in (await reports.usage(Question(start=FIRST, end=FIRST + DAY))).rows))

        working = [asyncio.get_running_loop().create_task(each()) for each in (roll, ask)]
        await write()
        over = True
        await asyncio.gather(*working)
        assert seen == sorted(seen)
        assert all(0 <= count <= 200 for count in seen)
        for _ in range(3):
            roller.run()
        assert await reports.behind() == 0
        assert (await told(reports, "requests"))[0] == (0, 200)
