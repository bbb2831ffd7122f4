"""Reservations of one worker: loaded from the ledger, kept while the counters are away, and settled for workers that died."""

import asyncio
from collections.abc import Callable

import pytest

from ollm.errors import CountersAway
from ollm.gateway.accounts import Accounts, Note, ended_ms, lost
from ollm.ports import Asked, Granted, Refused
from ollm.store.counters.memory import MemoryCounters
from ollm.traffic.charges import Charges, Load
from ollm.values.ledger import Entry, Intent, Status
from ollm.values.terms import Budget, Limit, Terms
from tests.charging import charges

NOW = 1_700_000_000
NOTE = Note("abcdefgh234567ab", "proj_default", "chat.completions", "small", NOW * 1000, 40)
SCOPES = (("proj_default", Terms(budgets=(Budget(limit_micro=100, alerts=(50, 90)),), limits=(Limit(tokens_per_day=1000),))),)


class Clock:
    def now(self) -> int:
        return NOW

    def now_ms(self) -> int:
        return NOW * 1000

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Ledger:
    """In memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Entry] = {}

    async def intend(self, intent: Intent) -> None:
        raise NotImplementedError

    async def complete(self, entry: Entry) -> None:
        self.rows.setdefault(entry.request_id, entry)

    async def find(self, request_id: str) -> Entry | None:
        return self.rows.get(request_id)


class Spent:
    def __init__(self, micro: int) -> None:
        self.micro = micro
        self.asked = 0

    async def spent(self, scope: str, start_ms: int, end_ms: int) -> int:
        self.asked += 1
        return self.micro


class Leaving(MemoryCounters):
    """Counters that are away while a test says so."""

    away = False

    async def settle(self, request_id: str, actuals: Charges, ended_ms: int) -> None:
        if self.away:
            raise CountersAway("away")
        await super().settle(request_id, actuals, ended_ms)

    async def release(self, request_id: str) -> None:
        if self.away:
            raise CountersAway("away")
        await super().release(request_id)


def asked(micro: int, tokens: int = 10) -> Charges:
    return charges(SCOPES, "small", Load(tokens=tokens, micro=micro), NOW)


def accounts(*, spent: int = 0, lease: float = 0.1, counters: Leaving | None = None) -> tuple[Accounts, Leaving, Ledger]:
    ledger = Ledger()
    counters = counters or Leaving(Clock().monotonic, lease_seconds=lease)
    return Accounts(counters, Spent(spent), ledger, Clock(), owner="worker1", lease_seconds=lease), counters, ledger


async def held(counters: MemoryCounters, what: str = "money") -> int:
    return (await counters.read([meter.name for meter in asked(0).meters.each if meter.what == what]))[0].value


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the accounts tell nobody
            await asyncio.sleep(0.01)


async def test_a_budget_begins_with_what_the_ledger_says_was_spent() -> None:
    kept, counters, _ = accounts(spent=70)
    assert isinstance(await kept.reserve("req1", asked(40), NOTE), Refused)
    assert isinstance(await kept.reserve("req2", asked(30), NOTE), Granted)
    assert await held(counters) == 100


async def test_what_was_too_much_is_given_back_once() -> None:
    kept, counters, _ = accounts()
    await kept.reserve("req1", asked(40), NOTE)
    for _ in range(2):
        await kept.settle("req1", asked(40), Load(tokens=3, micro=7), NOW * 1000)
    assert (await held(counters), await held(counters, "tokens")) == (7, 3)
    await kept.reserve("req2", asked(40), NOTE)
    await kept.release("req2")
    assert await held(counters) == 7


async def test_what_cannot_be_settled_now_is_settled_when_the_counters_are_back() -> None:
    kept, counters, _ = accounts()
    await kept.reserve("req1", asked(40), NOTE)
    await kept.reserve("req2", asked(40), NOTE)
    counters.away = True
    await kept.settle("req1", asked(40), Load(tokens=3, micro=7), NOW * 1000)
    await kept.release("req2")
    assert kept.waiting == 2
    kept.start()
    try:
        await asyncio.sleep(0.1)
        assert kept.waiting == 2
        counters.away = False
        await eventually(lambda: kept.waiting == 0)
        assert await held(counters) == 7
    finally:
        await kept.close()


@pytest.mark.parametrize("answered", [False, True], ids=["no row", "a row"])
async def test_what_a_dead_worker_left_is_settled_by_another(answered: bool) -> None:
    dead, counters, _ = accounts()
    await dead.reserve("req1", asked(40), NOTE)
    living, _, ledger = accounts(counters=counters)
    living._owner = "worker2"
    if answered:
        ledger.rows["req1"] = lost("req1", Note(NOTE.key_id, NOTE.project, NOTE.endpoint, NOTE.model, NOTE.started_ms, 5), NOW * 1000)
    living.start()
    try:
        await eventually(lambda: "req1" in ledger.rows)
        async with asyncio.timeout(5):
            while await counters.orphans() or "req1" in counters._held:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await living.close()
    row = ledger.rows["req1"]
    assert (row.status, row.cost_micro) == (Status.LOST, 5 if answered else 40)
    assert await held(counters) == row.cost_micro


def test_the_row_of_a_lost_request_says_what_was_reserved_and_when_it_was_found() -> None:
    row = lost("req1", NOTE, NOW * 1000 + 2500)
    assert (row.project, row.reserved_micro, row.usage.estimated, ended_ms(row)) == ("proj_default", 40, True, NOW * 1000 + 2500)


async def test_alerts_are_told_once_for_each_level(caplog: pytest.LogCaptureFixture) -> None:
    kept, _, _ = accounts()
    for value in (49, 50, 60, 95, 99):
        kept.watch(asked(1).meters, (0, value))
    assert [record.__dict__["percent"] for record in caplog.records if "alert" in record.message] == [50, 90]


async def test_close_settles_what_waits() -> None:
    kept, counters, _ = accounts(lease=60)
    await kept.reserve("req1", asked(40), NOTE)
    counters.away = True
    await kept.settle("req1", asked(40), Load(tokens=3, micro=7), NOW * 1000)
    counters.away = False
    kept.start()
    await kept.close()
    assert (kept.waiting, await held(counters)) == (0, 7)


def test_a_note_is_small_and_is_nothing_of_a_request() -> None:
    assert set(Note.__struct_fields__) == {"key_id", "project", "endpoint", "model", "started_ms", "micro"}
    assert Asked.__struct_fields__[-1] == "note"
